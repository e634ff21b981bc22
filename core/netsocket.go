package core

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// netSocket is the socket of the goroutine driver. What a write that does not
// block leaves, and all of it where the transport has no such write (TLS,
// WebSocket), is written by a goroutine that lives until the outbox is empty.
type netSocket struct {
	net     net.Conn
	raw     syscall.RawConn                 // nil where writes without blocking are not to be had
	half    interface{ CloseWrite() error } // of raw sockets
	changed sync.Cond                       // the writer goroutine has written a buffer, or the socket is closed

	// Guarded by the outbox's mu, for raw writes: the closure is made once.
	try   func(fd uintptr) bool
	p     []byte
	wrote int
	err   error
}

func newNetSocket(o *outbox, conn net.Conn) *netSocket {
	s := &netSocket{net: conn, raw: rawConn(conn)}
	s.changed.L = &o.mu
	if s.raw != nil {
		s.half, _ = conn.(interface{ CloseWrite() error })
		s.try = func(fd uintptr) bool {
			s.wrote, s.err = writeNonBlocking(fd, s.p)
			return true // never wait
		}
	}
	return s
}

func (s *netSocket) write(p, _ []byte) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	s.p, s.wrote, s.err = p, 0, nil
	err := s.raw.Write(s.try)
	s.p = nil
	return s.wrote, errors.Join(err, s.err)
}

func (s *netSocket) empty(o *outbox) { go s.writeLoop(o) }

// writeLoop is the writer goroutine: it lives until the outbox is empty.
func (s *netSocket) writeLoop(o *outbox) {
	o.mu.Lock()
	for len(o.buf) > o.sent && !o.closed {
		full, sent, pooled := o.buf, o.sent, o.pooled
		o.buf, o.sent, o.pooled, o.writeN = nil, 0, nil, len(full)-sent
		o.mu.Unlock()
		err := s.writeAll(o, full[sent:])
		recycle(full, pooled)
		o.mu.Lock()
		o.countLocked(-o.writeN)
		o.writeN = 0
		s.progressed(o)
		if err != nil {
			o.late = errors.Is(err, os.ErrDeadlineExceeded)
			o.failLocked()
		}
	}
	if !o.closed {
		_ = s.net.SetWriteDeadline(time.Time{}) // once past, it would fail the next write that does not block
	}
	o.emptiedLocked()
	o.mu.Unlock()
}

// writeAll writes all of p; each part of it must be taken within the timeout, and
// all of it before the outbox is to be closed.
func (s *netSocket) writeAll(o *outbox, p []byte) error {
	const part = 64 << 10 // so that a slow but living reader is not cut off
	for len(p) > 0 {
		if err := s.extendDeadline(o); err != nil {
			return err
		}
		n, err := s.net.Write(p[:min(part, len(p))])
		o.b.metrics.BytesSent.Add(int64(n))
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		p = p[n:]
	}
	return nil
}

// extendDeadline gives the next part of a write its time.
func (s *netSocket) extendDeadline(o *outbox) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	after := o.b.o.WriteTimeout
	if o.closeBy != 0 {
		after = min(after, o.leftLocked())
	}
	return s.net.SetWriteDeadline(time.Now().Add(after))
}

func (s *netSocket) hurry(o *outbox) {
	if o.full { // what is being written now has the longer deadline
		_ = s.net.SetWriteDeadline(time.Now().Add(o.leftLocked()))
	}
	if s.half != nil {
		s.linger(o.leftLocked() + lingerTime)
	}
}

func (s *netSocket) closeWrite() bool { return s.half != nil && s.half.CloseWrite() == nil }

// linger sets the deadline of the reader that discards.
func (s *netSocket) linger(most time.Duration) { _ = s.net.SetReadDeadline(time.Now().Add(most)) }

func (s *netSocket) close() {
	if s.raw == nil { // closing TLS or WebSocket writes, and may wait
		go s.net.Close()
		return
	}
	_ = s.net.Close()
}

func (s *netSocket) progressed(*outbox) { s.changed.Broadcast() }

// waitForRoom holds up the connection's own reader while more waits than the limit.
func (s *netSocket) waitForRoom(o *outbox) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.isOverLocked() {
		s.changed.Wait()
	}
}

// waitClosed waits until what is to be written has been and the socket is
// closed: a broker that ends is not gone before its last packets are.
func (s *netSocket) waitClosed(o *outbox) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed {
		s.changed.Wait()
	}
}
