package core

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"lunamq/core/packet"
)

// The goroutine driver: one goroutine per connection reads and feeds the
// protocol. Where the transport allows it, the read buffer is borrowed only
// when the socket is readable, so that an idle connection holds none.

// readBuffer is the size of a borrowed buffer: what one round reads at most. A
// connection that fills one borrows a large one for its next read: with large
// ones alone, a thousand clients that come or go at once hold 64 MiB of them;
// with small ones alone, payloads of 64 KiB cost a third more.
const (
	readBuffer      = 16 << 10
	largeReadBuffer = 64 << 10
)

// readStanding is the size of the buffer of a connection that cannot borrow
// before it waits. One that fills it borrows for its next read.
const readStanding = 512

var (
	readBuffers      = sync.Pool{New: func() any { return new([readBuffer]byte) }}
	largeReadBuffers = sync.Pool{New: func() any { return new([largeReadBuffer]byte) }}
)

// reader reads from one connection.
type reader struct {
	c    *conn
	net  net.Conn
	sock *netSocket
	raw  syscall.RawConn

	try      func(fd uintptr) bool  // made once
	small    *[readBuffer]byte      // borrowed
	large    *[largeReadBuffer]byte // borrowed
	filled   bool                   // the last read filled its buffer
	standing []byte                 // where the transport makes us wait inside Read
	got      []byte
	err      error
}

// serve begins a connection. What comes after the handshake, and after each of
// the first rounds, has a goroutine of its own: the stack that TLS, CONNECT and
// SUBSCRIBE have taken is not kept by an idle client.
func (c *conn) serve() {
	if err := c.handshake(); err != nil {
		c.stopTimer()
		c.out.abort()
		c.b.log.Info("handshake failed", "addr", c.remote, "listener", c.listener.Name, "err", err)
		c.b.forget(c)
		return
	}
	rd := &reader{c: c, sock: c.out.sock.(*netSocket)}
	rd.net = rd.sock.net
	rd.raw = rd.sock.raw
	if rd.raw != nil {
		rd.try = rd.tryRead
	}
	go rd.loop(firstRounds)
}

// firstRounds is how many rounds have a goroutine of their own.
const firstRounds = 3

// loop reads from a connection until its end; while it is fresh, one round.
func (rd *reader) loop(fresh int) {
	c := rd.c
	for ended := false; !ended; {
		buf, err := rd.read()
		c.b.metrics.BytesReceived.Add(int64(len(buf)))
		if err == nil {
			err = c.takeRound(buf)
		} else {
			c.lostAlone(err)
		}
		rd.giveBack()
		if err != nil {
			break
		}
		unlock := c.lockFeeding(nil)
		ended = c.state == stateEnded
		unlock()
		rd.sock.waitForRoom(&c.out)
		c.waitForStore()
		if fresh > 0 && !ended {
			go rd.loop(fresh - 1)
			return
		}
	}
	defer c.b.forget(c)
	unlock := c.lockFeeding(nil)
	c.state = stateEnded
	unlock()
	if c.tap != nil {
		c.tap.close()
	}
	c.stopTimer()
	rd.discard()
	c.out.readerDone()
	rd.sock.waitClosed(&c.out)
}

// lostAlone is lost in a round of its own.
func (c *conn) lostAlone(err error) {
	r := c.b.newRound()
	c.lost(r, err)
	r.end()
}

// lost ends a connection whose socket has ended.
func (c *conn) lost(r *round, err error) {
	defer c.lockFeeding(r)()
	switch {
	case c.out.tookNothing():
		err = &stop{reason: packet.UnspecifiedError, text: "took nothing for " + c.b.o.WriteTimeout.String(), by: ByBroker, silent: true}
	case errors.Is(err, io.EOF):
		err = errors.New("closed by the peer without DISCONNECT")
	}
	c.end(r, err)
}

// handshake agrees on what comes before MQTT (TLS, WebSocket), under the one
// deadline that also holds for CONNECT.
func (c *conn) handshake() error {
	c.b.deadlines.set(c, c.b.o.HandshakeTimeout)
	nc := c.out.sock.(*netSocket).net
	if h, ok := nc.(Handshaker); ok {
		ctx, cancel := context.WithTimeout(context.Background(), c.b.o.HandshakeTimeout)
		defer cancel()
		if err := h.Handshake(ctx); err != nil {
			return err
		}
	}
	if t, ok := nc.(TLSConn); ok {
		c.tls = t.TLSInfo()
	}
	return nil
}

func (c *conn) onHandshakeTimeout() {
	c.posted.CompareAndSwap(nil, &stop{reason: packet.UnspecifiedError, text: "no accepted CONNECT within " + c.b.o.HandshakeTimeout.String(), by: ByBroker, silent: true})
	c.out.abort()
}

// largeProgress is how much of an unfinished packet counts as a sign of life,
// so that a large packet on a slow line is not cut off by its own keep alive.
// mosquitto does the same, with the same number.
const largeProgress = 1000

// takeRound hands bytes that were read to the protocol, in a round of their own.
func (c *conn) takeRound(buf []byte) error {
	r := c.b.newRound()
	err := c.take(r, buf)
	r.end()
	if err == errWaitForEnd {
		c.stopWhenTold()
	}
	return err
}

// stopWhenTold ends the connection when every client has been told that the
// broker ends.
func (c *conn) stopWhenTold() {
	<-c.b.told
	c.stop(shuttingDown)
}

// take hands bytes that were read to the protocol. Bytes of an unfinished
// packet are kept in c.rest, which grows as they arrive.
func (c *conn) take(r *round, buf []byte) error {
	if len(c.rest.buf) == 0 {
		n, err := c.receive(r, buf)
		if err == nil && n < len(buf) {
			c.rest.add(buf[n:])
		}
		return err
	}
	c.rest.add(buf)
	if len(c.rest.buf) < int(c.need) {
		if n := len(c.rest.buf); n/largeProgress > (n-len(buf))/largeProgress {
			c.spoke()
		}
		return nil
	}
	n, err := c.receive(r, c.rest.buf)
	if err == nil {
		c.rest.drop(n)
	}
	return err
}

// read returns what came next: valid until giveBack.
func (rd *reader) read() ([]byte, error) {
	if rd.raw == nil {
		buf := rd.standing
		switch {
		case rd.filled:
			buf = rd.borrow()
		case buf == nil:
			rd.standing = make([]byte, readStanding)
			buf = rd.standing
		}
		n, err := rd.net.Read(buf)
		rd.filled = n == len(buf)
		if n > 0 {
			return buf[:n], nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		return nil, err
	}
	if err := rd.raw.Read(rd.try); err != nil {
		return nil, err
	}
	if rd.err == nil && len(rd.got) == 0 {
		return nil, io.EOF
	}
	return rd.got, rd.err
}

// tryRead is called when the socket may be readable; false waits for it.
func (rd *reader) tryRead(fd uintptr) bool {
	buf := rd.borrow()
	n, again, err := readNonBlocking(fd, buf)
	rd.got, rd.err = buf[:max(n, 0)], err
	rd.filled = n == len(buf)
	if again || n <= 0 {
		rd.giveBack()
	}
	return !again
}

func (rd *reader) borrow() []byte {
	if rd.filled {
		rd.large = largeReadBuffers.Get().(*[largeReadBuffer]byte)
		return rd.large[:]
	}
	rd.small = readBuffers.Get().(*[readBuffer]byte)
	return rd.small[:]
}

func (rd *reader) giveBack() {
	rd.got = nil
	if rd.small != nil {
		readBuffers.Put(rd.small)
		rd.small = nil
	}
	if rd.large != nil {
		largeReadBuffers.Put(rd.large)
		rd.large = nil
	}
}

// discard reads on after the end, until the client has closed its side: a
// socket closed with something unread is reset, and the client would lose the
// DISCONNECT or the acknowledgements that it has not read yet. What the outbox
// has set as deadline bounds it in time, discardBytes in work.
func (rd *reader) discard() {
	if rd.raw == nil {
		return
	}
	for left := discardBytes; left > 0; {
		buf, err := rd.read()
		left -= len(buf)
		rd.giveBack()
		if err != nil {
			return
		}
	}
}

const discardBytes = 1 << 20

// bucket is a token bucket that holds one second's worth. The zero value
// lets everything pass.
type bucket struct {
	rate, tokens float64
	last         time.Time
}

func newBucket(rate float64) bucket {
	return bucket{rate: rate, tokens: max(rate, 1), last: time.Now()}
}

// allow takes n tokens if they are there.
func (k *bucket) allow(n float64) bool {
	if k.rate <= 0 {
		return true
	}
	now := time.Now()
	k.tokens = min(max(k.rate, 1), k.tokens+k.rate*now.Sub(k.last).Seconds())
	k.last = now
	if k.tokens < min(n, max(k.rate, 1)) { // a message larger than a second's worth passes a full bucket
		return false
	}
	k.tokens -= n
	return true
}
