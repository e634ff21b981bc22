//go:build linux

package core

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pollListener accepts connections for the poller, in its loops.
type pollListener struct {
	// Immutable:
	p *poller
	l *listening

	mu sync.RWMutex // held to read while fd is used
	fd int          // -1 once it is closed

	failures atomic.Int32 // in a row
	pausing  atomic.Bool  // since the last of them
}

// servePolled serves a listener with the poller until the broker ends; false if
// the poller is not for it.
func (b *Broker) servePolled(l *listening) (bool, error) {
	tcp, ok := l.Net.(*net.TCPListener)
	if !ok || b.o.Driver != DriverPoller {
		return false, nil
	}
	p, err := b.startPoller()
	if err != nil {
		return true, err
	}
	fd, err := takeOver(tcp)
	if err != nil {
		return true, err
	}
	inherit(fd)
	pl := &pollListener{p: p, l: l, fd: fd}
	p.listeners.Store(int32(fd), pl)
	defer pl.close()
	if !b.closesWith(l, pl.close) {
		return true, ErrClosed
	}
	if err := pl.arm(syscall.EPOLL_CTL_ADD); err != nil {
		return true, err
	}
	<-l.closed
	return true, ErrClosed
}

// close stops accepting, once.
func (pl *pollListener) close() {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.fd < 0 {
		return
	}
	pl.p.listeners.Delete(int32(pl.fd))
	closeDescriptor(pl.fd)
	pl.fd = -1
}

// takeOver duplicates the listener's descriptor and closes the listener, so that
// the runtime's own poller does not wake a thread for each connection as well.
// Both are of one socket: it never stops listening.
func takeOver(tcp *net.TCPListener) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctlErr := raw.Control(func(from uintptr) {
		got, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, from, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(got); errno != 0 {
			err = errno
		}
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return -1, err
	}
	if err = tcp.Close(); err != nil {
		closeDescriptor(fd)
		return -1, err
	}
	return fd, nil
}

func (b *Broker) startPoller() (p *poller, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() { // it would be left when the broker has ended
		return nil, ErrClosed
	}
	if b.poller == nil {
		b.poller, err = newPoller(b)
	}
	return b.poller, err
}

// listenerMark tells the descriptor of a listener from one of a connection.
const listenerMark = 1

func (pl *pollListener) arm(op int) error {
	pl.mu.RLock()
	defer pl.mu.RUnlock()
	if pl.fd < 0 {
		return nil
	}
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | edgeTriggered, Fd: int32(pl.fd), Pad: listenerMark}
	return syscall.EpollCtl(pl.p.epfd, op, pl.fd, &ev)
}

// acceptsInARow is how many connections are accepted before it is the others' turn.
const acceptsInARow = 64

// accept accepts what waits. After a failure it pauses, whoever comes: each
// would make another attempt, and another pause beside this one.
func (pl *pollListener) accept() {
	if pl.pausing.Load() {
		return
	}
	for range acceptsInARow {
		fd, peer, err := pl.acceptOne()
		switch err {
		case nil:
			pl.failures.Store(0)
			pl.p.b.admit(pl.l, arrival{poller: pl.p, fd: fd, remote: sockaddrText(peer)})
		case syscall.EAGAIN, net.ErrClosed:
			return
		case syscall.EINTR, syscall.ECONNABORTED: // the client has gone already
		default:
			pl.pause(err)
			return
		}
	}
	_ = pl.arm(syscall.EPOLL_CTL_MOD)
}

// pause waits until the next attempt.
func (pl *pollListener) pause(err error) {
	if !pl.pausing.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(pl.p.b.acceptFailed(pl.l, err, int(pl.failures.Add(1))), func() {
		pl.pausing.Store(false)
		_ = pl.arm(syscall.EPOLL_CTL_MOD)
	})
}

func (pl *pollListener) acceptOne() (int, syscall.Sockaddr, error) {
	pl.mu.RLock()
	defer pl.mu.RUnlock()
	if pl.fd < 0 {
		return -1, nil, net.ErrClosed
	}
	return syscall.Accept4(pl.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
}

// inherit sets on a listening socket what Linux hands on to the accepted ones:
// what package net sets on each of its own, at four system calls a connection.
func inherit(fd int) {
	const idle, interval, count = 15, 15, 9 // seconds; as package net
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, idle)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, interval)
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, count)
}

func sockaddrText(sa syscall.Sockaddr) string {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	case *syscall.SockaddrInet6:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port, Zone: zone(a.ZoneId)}).String()
	}
	return "local"
}

func zone(id uint32) string {
	if id == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		return i.Name
	}
	return ""
}
