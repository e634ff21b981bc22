package core

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// outbox holds what a connection has been sent and its socket has not taken
// yet: encoded packets, bounded in bytes. Anyone appends; whoever finishes a
// round flushes with one write that does not block. What the socket does not
// take is left to a writer goroutine that lives until the outbox is empty.
type outbox struct {
	// Immutable:
	net        net.Conn
	raw        syscall.RawConn                 // nil where writes without blocking are not to be had
	half       interface{ CloseWrite() error } // of raw sockets
	limit      int
	total      *atomic.Int64 // what waits for all clients together
	totalLimit int64
	timeout    time.Duration // for each part of what the writer goroutine writes
	tap        *tap          // shown what is appended, before it is sent; mostly nil

	mu sync.Mutex
	// Guarded by mu:
	drained  func()     // called, on a goroutine of its own, when an outbox that refused something is empty
	refused  bool       // since it was last empty
	closeBy  time.Time  // when what is written must have been taken; zero before shut
	buf      []byte     // appended, not yet taken
	pooled   *[]byte    // where buf came from and goes back to
	writeN   int        // bytes that the writer goroutine is writing
	counted  int        // bytes of this outbox in total: buf and writeN while a writer goroutine is at work
	progress *sync.Cond // the writer goroutine has written a buffer, or the socket is closed
	sent     int        // bytes of buf that the socket has taken
	toucher  *round     // who will flush
	writing  bool       // a writer goroutine is at work
	closing  bool       // nothing more is taken; the socket is closed once buf is written
	closed   bool       // the socket is closed
	halved   bool       // our half of it is
	unread   bool       // nobody reads from it any more
	late     bool       // because it took nothing for the timeout

	// with a tap:
	staged  []byte // appended, not yet shown
	tapN    int    // bytes that are being shown
	tapping bool   // a goroutine shows them

	// for raw writes, so that the closure is made once
	try     func(fd uintptr) bool
	wrote   int
	tryErr  error
	written *atomic.Int64
}

// keepBuffer is the capacity of a buffer that an empty outbox gives to the
// pool; larger ones go to the garbage collector.
const keepBuffer = 256 << 10

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func newOutbox(b *Broker, conn net.Conn) *outbox {
	o := &outbox{
		net: conn, limit: b.o.OutboxBytes, timeout: b.o.WriteTimeout, written: &b.metrics.BytesSent,
		total: &b.queuedBytes, totalLimit: b.o.TotalQueued,
	}
	o.progress = sync.NewCond(&o.mu)
	o.raw = rawConn(conn)
	if o.raw != nil {
		o.half, _ = conn.(interface{ CloseWrite() error })
		o.try = func(fd uintptr) bool {
			o.wrote, o.tryErr = writeNonBlocking(fd, o.buf[o.sent:])
			return true // never wait
		}
	}
	return o
}

// hasRoom says whether a packet of n bytes may be appended. One that is larger
// than the limit may, if nothing else waits.
func (o *outbox) hasRoom(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hasRoomLocked(n)
}

func (o *outbox) hasRoomLocked(n int) bool {
	waiting := o.waitingLocked()
	if !o.closing && (waiting == 0 || waiting+n <= o.limit && (!o.writing || o.total.Load() <= o.totalLimit)) {
		return true
	}
	o.refused = true
	return false
}

// waitingLocked is how many bytes the socket has not taken yet.
func (o *outbox) waitingLocked() int {
	return len(o.buf) - o.sent + o.writeN + len(o.staged) + o.tapN
}

// onDrained sets what is called when an outbox that refused something is empty.
func (o *outbox) onDrained(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drained = do
}

// tellDrainedLocked says that there is room again, to who was refused some.
func (o *outbox) tellDrainedLocked() {
	if o.refused && !o.closing && o.drained != nil && len(o.buf) == o.sent {
		o.refused = false
		go o.drained()
	}
}

// append takes a packet, patches its packet identifier where idAt is not
// negative, and notes that r flushes. It reports false, and takes nothing, if
// there is no room.
func (o *outbox) append(r *round, p []byte, idAt int, id uint16) bool {
	o.mu.Lock()
	if !o.hasRoomLocked(len(p)) {
		o.mu.Unlock()
		return false
	}
	taken := o.take(p)
	if idAt >= 0 {
		taken[idAt], taken[idAt+1] = byte(id>>8), byte(id)
	}
	o.touchLocked(r)
	o.mu.Unlock()
	return true
}

// force takes a packet beyond the limit: acknowledgements and the like, which
// are bounded because their reader waits (waitForRoom) before it reads more.
func (o *outbox) force(r *round, p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return
	}
	o.take(p)
	o.touchLocked(r)
	r.counts.packetsSent++
}

// waitForRoom holds up the connection's own reader while more waits than the
// limit: a client that does not read is not read from.
func (o *outbox) waitForRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for (o.writing || o.tapping) && !o.closed && o.waitingLocked() > o.limit {
		o.progress.Wait()
	}
}

// take appends p and returns it as it is there.
func (o *outbox) take(p []byte) []byte {
	if o.tap != nil {
		o.staged = append(o.staged, p...)
		return o.staged[len(o.staged)-len(p):]
	}
	return o.takeSeen(p)
}

// takeSeen appends what no tap is to see any more.
func (o *outbox) takeSeen(p []byte) []byte {
	if o.buf == nil {
		o.pooled = outBuffers.Get().(*[]byte)
		o.buf = *o.pooled
	}
	o.buf = append(o.buf, p...)
	if o.writing {
		o.countLocked(len(p))
	}
	return o.buf[len(o.buf)-len(p):]
}

// countLocked adds to what waits for all clients together. What goes with the
// flush of its round is not counted: only what a slow client leaves behind.
func (o *outbox) countLocked(n int) {
	o.counted += n
	o.total.Add(int64(n))
}

func (o *outbox) touchLocked(r *round) {
	if o.toucher != r {
		o.toucher = r
		r.touched = append(r.touched, o)
	}
}

// flush writes what the socket takes without blocking and leaves the rest to
// the writer goroutine.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.toucher = nil
	if len(o.staged) > 0 && !o.tapping && !o.closed {
		o.tapping = true
		go o.tapLoop()
	}
	if o.writing || o.closed || len(o.buf) == o.sent {
		o.closeIfDoneLocked()
		return
	}
	if o.raw != nil {
		o.tryWriteLocked()
	}
	if len(o.buf) > o.sent && !o.closed {
		o.writing = true
		o.countLocked(len(o.buf) - o.sent)
		go o.writeLoop()
		return
	}
	o.closeIfDoneLocked()
}

func (o *outbox) tryWriteLocked() {
	o.wrote, o.tryErr = 0, nil
	if err := o.raw.Write(o.try); err != nil {
		o.failLocked()
		return
	}
	if o.tryErr != nil {
		o.failLocked()
		return
	}
	o.written.Add(int64(o.wrote))
	o.sent += o.wrote
	if o.sent == len(o.buf) {
		o.releaseLocked()
		o.tellDrainedLocked()
	}
}

// writeLoop is the writer goroutine: it lives until the outbox is empty.
func (o *outbox) writeLoop() {
	o.mu.Lock()
	for len(o.buf) > o.sent && !o.closed {
		full, sent, pooled := o.buf, o.sent, o.pooled
		o.buf, o.sent, o.pooled, o.writeN = nil, 0, nil, len(full)-sent
		o.mu.Unlock()
		err := o.write(full[sent:])
		recycle(full, pooled)
		o.mu.Lock()
		o.countLocked(-o.writeN)
		o.writeN = 0
		o.progress.Broadcast()
		if err != nil {
			o.late = errors.Is(err, os.ErrDeadlineExceeded)
			o.failLocked()
		}
	}
	o.writing = false
	if !o.closed {
		_ = o.net.SetWriteDeadline(time.Time{}) // once past, it would fail the next write that does not block
	}
	o.closeIfDoneLocked()
	o.tellDrainedLocked()
	o.mu.Unlock()
}

// write writes all of p; each part of it must be taken within the timeout, and
// all of it before the outbox is to be closed.
func (o *outbox) write(p []byte) error {
	const part = 64 << 10 // so that a slow but living reader is not cut off
	for len(p) > 0 {
		if err := o.extendDeadline(); err != nil {
			return err
		}
		n, err := o.net.Write(p[:min(part, len(p))])
		o.written.Add(int64(n))
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
func (o *outbox) extendDeadline() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	deadline := time.Now().Add(o.timeout)
	if !o.closeBy.IsZero() && o.closeBy.Before(deadline) {
		deadline = o.closeBy
	}
	return o.net.SetWriteDeadline(deadline)
}

// tookNothing says that the socket was closed because it took nothing for the
// timeout.
func (o *outbox) tookNothing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.late
}

// shut takes a last packet, or none, and closes the socket once all is
// written, at the latest after the timeout: of plain sockets our half, so that
// what the client has not read yet is not reset. It never waits.
func (o *outbox) shut(last []byte, timeout time.Duration) {
	o.mu.Lock()
	if o.closing {
		o.mu.Unlock()
		return
	}
	if len(last) > 0 {
		o.take(last)
	}
	o.closing = true
	o.closeBy = time.Now().Add(min(o.timeout, timeout))
	if o.writing { // what is being written now has the longer deadline
		_ = o.net.SetWriteDeadline(o.closeBy)
	}
	if o.half != nil {
		_ = o.net.SetReadDeadline(o.closeBy.Add(lingerTime)) // of the reader that discards
	}
	o.mu.Unlock()
	o.flush()
}

// abort closes the socket at once.
func (o *outbox) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	o.failLocked()
}

// closeIfDoneLocked closes the socket when nothing more is to be written: first
// our half of it, the rest when the reader is done.
func (o *outbox) closeIfDoneLocked() {
	switch {
	case !o.closing || o.writing || o.tapping || o.closed || len(o.buf) > o.sent || len(o.staged) > 0:
	case o.half == nil || o.unread:
		o.failLocked()
	case !o.halved:
		o.halved = true
		if o.half.CloseWrite() != nil {
			o.failLocked()
			return
		}
		_ = o.net.SetReadDeadline(time.Now().Add(lingerTime))
	}
}

// readerDone says that nobody reads any more, and waits until what is to be
// written has been and the socket is closed: a broker that ends is not gone
// before its last packets are.
func (o *outbox) readerDone() {
	o.mu.Lock()
	o.closing, o.unread = true, true
	o.mu.Unlock()
	o.flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed {
		o.progress.Wait()
	}
}

// lingerTime is how long a client may take to close its side after we have
// closed ours.
const lingerTime = time.Second

// failLocked closes the socket and forgets what waits.
func (o *outbox) failLocked() {
	o.releaseLocked()
	o.staged = nil
	o.closing = true
	if o.closed {
		return
	}
	o.closed = true
	o.progress.Broadcast()
	if o.raw == nil { // closing TLS or WebSocket writes, and may wait
		go o.net.Close()
		return
	}
	_ = o.net.Close() // the reader sees it and ends the connection
}

func (o *outbox) releaseLocked() {
	if o.counted > o.writeN {
		o.countLocked(o.writeN - o.counted)
	}
	recycle(o.buf, o.pooled)
	o.buf, o.sent, o.pooled = nil, 0, nil
}

func recycle(buf []byte, pooled *[]byte) {
	if pooled == nil || cap(buf) > keepBuffer {
		return
	}
	*pooled = buf[:0]
	outBuffers.Put(pooled)
}
