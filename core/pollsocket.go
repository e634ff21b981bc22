//go:build linux

package core

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// pollSocket is a connection of the poller: its descriptor, and whose turn it
// is to read from it.
type pollSocket struct {
	// Immutable:
	c  *conn
	fd int32

	// Atomic:
	turn   atomic.Uint32 // who reads
	paused atomic.Bool   // nobody reads until there is room again
	full   atomic.Bool   // outbox.full
	dead   atomic.Bool   // outbox.closed

	// Owned by who has the turn:
	discarded  int32 // bytes that came and were not handled
	discarding bool  // what comes is not handled any more
	over       bool  // nothing more is read

	// Guarded by the outbox's mu:
	freed bool        // the descriptor is closed
	timer *time.Timer // while the socket is full, or half closed
	until int64       // when it fires for good, by the broker's deadlines
}

// The turns.
const (
	turnFree  = iota
	turnTaken // one goroutine handles what comes
	turnAgain // and more has come since
)

func (s *pollSocket) poller() *poller { return s.c.b.poller }

// enter has epoll tell of the socket. Until then it is not closed, whatever an
// event says that was meant for the one that had its number before.
func (s *pollSocket) enter() error {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.poller().conns.set(int(s.fd), s.c)
	ev := syscall.EpollEvent{Events: s.interest(), Fd: s.fd}
	return syscall.EpollCtl(s.poller().epfd, syscall.EPOLL_CTL_ADD, int(s.fd), &ev)
}

// take takes the turn; false leaves it to who has it to look again.
func (s *pollSocket) take() bool {
	for {
		switch s.turn.Load() {
		case turnFree:
			if s.turn.CompareAndSwap(turnFree, turnTaken) {
				return true
			}
		case turnTaken:
			if s.turn.CompareAndSwap(turnTaken, turnAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// ready handles what epoll has said of the socket. The round is the loop's.
func (s *pollSocket) ready(r *round, buf []byte, events uint32) {
	if events&(syscall.EPOLLOUT|hangup) != 0 && s.full.Load() {
		s.writable()
	}
	if events&(syscall.EPOLLIN|hangup) == 0 || !s.take() {
		return
	}
	s.read(r, buf, events)
	s.yield(r)
}

// yield gives the turn up, and ends the connection if its socket has been
// closed. If more has come meanwhile, epoll tells of it again, so that what was
// appended is flushed first.
func (s *pollSocket) yield(r *round) {
	for {
		if s.dead.Load() {
			s.finish(r)
		}
		switch {
		case s.turn.CompareAndSwap(turnTaken, turnFree):
			return
		case s.dead.Load():
			s.turn.Store(turnTaken)
		default:
			s.turn.Store(turnFree)
			s.rearm()
			return
		}
	}
}

// readsInARow is how often one connection fills the buffer before it is the
// others' turn.
const readsInARow = 4

// read reads and handles what is there.
func (s *pollSocket) read(r *round, buf []byte, events uint32) {
	if s.paused.Load() && events&hangup == 0 {
		return
	}
	for i := 0; !s.over && !s.dead.Load(); i++ {
		if i == readsInARow {
			s.rearm()
			return
		}
		into := buf
		if room := s.c.rest.room(); room != nil { // behind the packet that it is part of
			into = room
		}
		n, again, err := readDescriptor(s.fd, into)
		switch {
		case again:
			return
		case n > 0:
			s.c.b.metrics.BytesReceived.Add(int64(n))
			s.handle(r, into[:n])
		default:
			s.end(r, err)
		}
		if s.over || s.pause() || n < len(into) && events&hangup == 0 { // edge-triggered: what comes after a short read is told
			return
		}
		if n == len(into) {
			buf = r.loop.filled()
		}
	}
}

// end takes in that nothing more can be read.
func (s *pollSocket) end(r *round, err error) {
	if err == nil {
		err = io.EOF
	}
	if !s.discarding {
		s.c.lost(r, err)
	}
	s.over = true
	s.c.out.readerDone()
}

// handle hands what was read to the protocol.
func (s *pollSocket) handle(r *round, p []byte) {
	c := s.c
	if s.discarding {
		if s.discarded += int32(len(p)); s.discarded > discardBytes {
			s.end(r, nil)
		}
		return
	}
	switch err := c.take(r, p); err {
	case nil:
		unlock := c.lockFeeding(r)
		s.discarding = c.state == stateEnded
		unlock()
		if !s.discarding {
			return
		}
	case errWaitForEnd:
		go c.stopWhenTold()
	}
	s.discarding = true
	c.stopTimer()
	unlock := c.lockFeeding(r)
	c.state = stateEnded
	unlock()
}

// pause stops reading while the client does not take what it is sent, or the
// store what it sends; resume goes on.
func (s *pollSocket) pause() bool {
	if s.discarding || s.c.mayRead() {
		return false
	}
	s.paused.Store(true)
	if s.c.mayRead() { // since then
		s.resume()
	}
	return true
}

// isPolled says that the connection is the poller's.
func (s *pollSocket) isPolled() bool { return s.c != nil }

// isPaused says that what the client has sent is not known; never of other drivers.
func (s *pollSocket) isPaused() bool { return s.paused.Load() }

// resumeIfMay goes on reading when answers have left for the client.
func (s *pollSocket) resumeIfMay() {
	if s.paused.Load() && s.c.mayRead() {
		s.resume()
	}
}

func (s *pollSocket) resume() {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.resumeLocked()
}

func (s *pollSocket) resumeLocked() {
	if s.paused.Load() {
		s.c.spoke() // what it has sent meanwhile is not known
		s.paused.Store(false)
		s.rearmLocked()
	}
}

// rearm lets epoll tell of the socket again, if it is ready for anything.
func (s *pollSocket) rearm() {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	s.rearmLocked()
}

func (s *pollSocket) rearmLocked() {
	if !s.freed {
		ev := syscall.EpollEvent{Events: s.interest(), Fd: s.fd}
		_ = syscall.EpollCtl(s.poller().epfd, syscall.EPOLL_CTL_MOD, int(s.fd), &ev)
	}
}

// refused ends a connection that epoll has not taken, and will tell nothing of.
func (s *pollSocket) refused() {
	mine := s.take()
	s.c.out.abort()
	if mine {
		r := s.c.b.newRound()
		s.yield(r)
		r.end()
	}
}

// finish ends a connection whose socket has been closed: here alone the
// descriptor is, so that none is read from or written to that has another
// connection's number.
func (s *pollSocket) finish(r *round) {
	if !s.over {
		s.end(r, net.ErrClosed)
	}
	c := s.c
	unlock := c.lockFeeding(r)
	c.state = stateEnded
	unlock()
	c.stopTimer()
	if c.tap != nil {
		c.tap.close()
	}
	r.settle() // before Shutdown takes the connection for gone
	if s.free() {
		c.b.forget(c)
	}
}

// free closes the descriptor, once.
func (s *pollSocket) free() bool {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.freed {
		return false
	}
	s.freed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.poller().conns.set(int(s.fd), nil) // before the number may come again
	_ = syscall.Close(int(s.fd))
	return true
}

// writable goes on writing to a socket that was full.
func (s *pollSocket) writable() {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.full || o.closed {
		return
	}
	before := o.waitingLocked()
	o.writeLocked(nil)
	if o.closed || o.waitingLocked() == before {
		return
	}
	if len(o.buf) == o.sent {
		s.timer.Stop()
		s.full.Store(false)
		o.emptiedLocked()
	} else {
		s.deadlineLocked(o)
	}
	s.progressed(o)
}

func (s *pollSocket) write(p, behind []byte) (int, error) {
	if len(behind) == 0 {
		return writeDescriptor(s.fd, p)
	}
	return writeBoth(s.fd, p, behind)
}

// empty waits for epoll to say that the socket can be written to, at most for
// the timeout.
func (s *pollSocket) empty(o *outbox) {
	s.full.Store(true)
	s.deadlineLocked(o)
	s.rearmLocked() // it may have been writable again before it was said to be full
}

// deadlineLocked gives the socket its time to take something.
func (s *pollSocket) deadlineLocked(o *outbox) {
	after := o.b.o.WriteTimeout
	if o.closeBy != 0 {
		after = min(after, o.leftLocked())
	}
	s.setTimerLocked(after)
}

func (s *pollSocket) setTimerLocked(after time.Duration) {
	s.until = s.c.b.deadlines.now() + int64(after)
	if s.timer == nil {
		s.timer = time.AfterFunc(after, s.onTimer)
		return
	}
	s.timer.Reset(after)
}

// onTimer closes a socket that took nothing, or whose client did not close its half.
func (s *pollSocket) onTimer() {
	o := &s.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || !o.full && !o.halved || s.c.b.deadlines.now() < s.until {
		return
	}
	o.late = o.full
	o.failLocked()
}

func (s *pollSocket) hurry(o *outbox) {
	if o.full {
		s.deadlineLocked(o)
	}
}

func (s *pollSocket) closeWrite() bool { return syscall.Shutdown(int(s.fd), syscall.SHUT_WR) == nil }

func (s *pollSocket) linger(most time.Duration) { s.setTimerLocked(most) }

// close leaves the end to who has the turn to read, or to whom epoll tells of it.
func (s *pollSocket) close() {
	s.dead.Store(true)
	if s.take() {
		s.turn.Store(turnFree)
		_ = syscall.Shutdown(int(s.fd), syscall.SHUT_RDWR)
		s.rearmLocked()
	}
}

func (s *pollSocket) progressed(o *outbox) {
	if !o.isOverLocked() {
		s.resumeLocked()
	}
}

// readDescriptor and writeDescriptor do not tell the scheduler of the system
// call, which does not block: that is a tenth of a short one.

func readDescriptor(fd int32, p []byte) (n int, again bool, err error) {
	for {
		got, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(got), false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, errno
		}
	}
}

func writeDescriptor(fd int32, p []byte) (int, error) {
	return written(syscall.SYS_WRITE, fd, unsafe.Pointer(&p[0]), len(p))
}

// writeBoth writes two texts, neither of them empty, one behind the other.
func writeBoth(fd int32, p, q []byte) (int, error) {
	list := [2]syscall.Iovec{{Base: &p[0]}, {Base: &q[0]}}
	list[0].SetLen(len(p))
	list[1].SetLen(len(q))
	return written(syscall.SYS_WRITEV, fd, unsafe.Pointer(&list), len(list))
}

// written is what a system call has written; 0 and no error: nothing now.
func written(call uintptr, fd int32, from unsafe.Pointer, n int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(from), uintptr(n))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}
