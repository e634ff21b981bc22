package core

import (
	"sync"
	"time"
)

// outbox holds what a connection has been sent and its socket has not taken
// yet: encoded packets, bounded in bytes. Anyone appends; whoever finishes a
// round flushes with one write that does not block. What the socket does not
// take is left to the driver's socket, until the outbox is empty.
type outbox struct {
	// Immutable:
	b    *Broker
	sock socket

	mu sync.Mutex
	// Guarded by mu:
	buf     []byte   // appended, not yet taken
	pooled  *[]byte  // where buf came from and goes back to
	sent    int      // bytes of buf that the socket has taken
	writeN  int      // bytes that a writer goroutine is writing
	counted int      // bytes of this outbox in Broker.queuedBytes: buf and writeN while the socket is full
	flusher *flushes // who will flush
	owner   *session // told when an outbox that refused something is empty
	closeBy int64    // when what is written must have been taken, by the broker's deadlines; 0 before shut
	refused bool     // since it was last empty
	full    bool     // the socket takes nothing now: it sees itself that the rest goes out
	closing bool     // nothing more is taken; the socket is closed once buf is written
	closed  bool     // the socket is closed
	halved  bool     // our half of it is
	unread  bool     // nobody reads from it any more
	late    bool     // because it took nothing for the timeout

	through bool // immutable: what is large may go past buf

	staging *staging // what packet hooks are shown before it is sent; mostly nil
	cork    *cork    // what waits for the store to keep the session; mostly nil
}

// staging is what of an outbox packet hooks have not let go yet.
type staging struct {
	tap    *tap
	staged []byte // appended, not yet shown
	n      int    // bytes that are being shown
	busy   bool   // a goroutine shows them
}

// waits is how much that is.
func (t *staging) waits() int {
	if t == nil {
		return 0
	}
	return len(t.staged) + t.n
}

// socket is the transport below an outbox, as its driver has it. All methods
// are called with the outbox's lock held, and none waits.
type socket interface {
	// write takes what the transport takes without blocking, of p and of what is
	// behind it; 0 and no error: nothing now. Behind is empty but for outbox.through.
	write(p, behind []byte) (int, error)
	// empty sees that what write has left goes out: it calls back, later, from
	// a goroutine that holds no lock, until outbox.full is false.
	empty(o *outbox)
	// hurry is told that outbox.closeBy is set.
	hurry(o *outbox)
	// progressed is told that something more was taken, or the socket is closed.
	progressed(o *outbox)
	// closeWrite closes our half; false where the transport has none.
	closeWrite() bool
	// linger bounds how long the client may take to close its half.
	linger(most time.Duration)
	close()
}

// keepBuffer is the capacity of a buffer that an empty outbox gives to the
// pool; larger ones go to the garbage collector.
const keepBuffer = 256 << 10

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// hasRoom says whether a packet of n bytes may be appended. One that is larger
// than the limit may, if nothing else waits.
func (o *outbox) hasRoom(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hasRoomLocked(n)
}

func (o *outbox) hasRoomLocked(n int) bool {
	waiting := o.waitingLocked()
	if !o.closing && (waiting == 0 || waiting+n <= o.b.o.OutboxBytes && (!o.full || o.b.queuedBytes.Load() <= o.b.o.TotalQueued)) {
		return true
	}
	o.refused = true
	return false
}

// waitingLocked is how many bytes the socket has not taken yet.
func (o *outbox) waitingLocked() int {
	return len(o.buf) - o.sent + o.writeN + o.staging.waits() + o.cork.waits()
}

// belongTo sets the session that is told when an outbox that refused something
// is empty.
func (o *outbox) belongTo(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owner = s
}

// tellDrainedLocked says that there is room again, to who was refused some.
func (o *outbox) tellDrainedLocked() {
	if o.refused && !o.closing && o.owner != nil && len(o.buf) == o.sent {
		o.refused = false
		go o.owner.onDrained()
	}
}

// append takes a packet, the payload of a PUBLISH apart, and notes that r
// flushes. It reports false, and takes nothing, if there is no room.
func (o *outbox) append(r *round, p, payload []byte) bool {
	o.mu.Lock()
	if !o.hasRoomLocked(len(p) + len(payload)) {
		o.mu.Unlock()
		return false
	}
	o.take(p)
	switch {
	case len(payload) >= throughAt && o.through && o.cork == nil && o.staging == nil && !o.full:
		o.flushWithLocked(payload)
	default:
		o.take(payload)
		o.touchLocked(r)
		if len(o.buf)-o.sent >= flushAt {
			o.flushLocked()
		}
	}
	o.mu.Unlock()
	return true
}

// throughAt is the payload that is worth a write of its own, from where it is:
// of 64 KiB, copying it into the outbox was a tenth of what it cost (lunamq bench
// pair --size 65536).
const throughAt = 32 << 10

// flushAt is how much is gathered at most before it is written: more would only
// grow the buffer.
const flushAt = 64 << 10

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
	if len(o.buf)-o.sent >= flushAt {
		o.flushLocked()
	}
	r.counts.packetsSent++
}

// isOver says that more waits than the limit: a client that does not read is
// not read from.
func (o *outbox) isOver() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.isOverLocked()
}

func (o *outbox) isOverLocked() bool {
	return (o.full || o.cork != nil || o.staging.waits() > 0) && !o.closed && o.waitingLocked() > o.b.o.OutboxBytes
}

// take appends p.
func (o *outbox) take(p []byte) {
	if k := o.cork; k != nil {
		k.held = append(k.held, p...)
		return
	}
	if t := o.staging; t != nil {
		t.staged = append(t.staged, p...)
		return
	}
	o.takeSeen(p)
}

// takeSeen appends what no tap is to see any more.
func (o *outbox) takeSeen(p []byte) {
	if o.buf == nil {
		o.pooled = outBuffers.Get().(*[]byte)
		o.buf = *o.pooled
	}
	o.buf = append(o.buf, p...)
	if o.full {
		o.countLocked(len(p))
	}
}

// countLocked adds to what waits for all clients together. What goes with the
// flush of its round is not counted: only what a slow client leaves behind.
func (o *outbox) countLocked(n int) {
	o.counted += n
	o.b.queuedBytes.Add(int64(n))
}

func (o *outbox) touchLocked(r *round) {
	if o.flusher != r.flushes {
		o.flusher = r.flushes
		r.flushes.add(o)
	}
}

// flush writes what the socket takes without blocking and leaves the rest to it.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flusher = nil
	o.flushLocked()
}

func (o *outbox) flushLocked() {
	if t := o.staging; t != nil && len(t.staged) > 0 && !t.busy && !o.closed {
		t.busy = true
		go o.tapLoop()
	}
	if o.full || o.closed || len(o.buf) == o.sent {
		o.closeIfDoneLocked()
		return
	}
	o.flushWithLocked(nil)
	o.closeIfDoneLocked()
}

// flushWithLocked writes what there is, and behind it what is lent by the caller:
// of that, what the socket does not take is copied.
func (o *outbox) flushWithLocked(behind []byte) {
	o.writeLocked(behind)
	if len(o.buf) > o.sent && !o.closed {
		o.full = true
		o.countLocked(len(o.buf) - o.sent)
		o.sock.empty(o)
	}
}

// writeLocked writes what the socket takes now.
func (o *outbox) writeLocked(behind []byte) {
	n, err := o.sock.write(o.buf[o.sent:], behind)
	if err != nil {
		o.failLocked()
		return
	}
	o.b.metrics.BytesSent.Add(int64(n))
	if o.full {
		o.countLocked(-n)
	}
	mine := min(n, len(o.buf)-o.sent)
	o.sent += mine
	if o.sent == len(o.buf) {
		o.releaseLocked()
	}
	if behind = behind[n-mine:]; len(behind) > 0 {
		o.takeSeen(behind)
	}
	if len(o.buf) == o.sent && !o.full {
		o.tellDrainedLocked()
	}
}

// emptiedLocked is called by a socket that was full and has taken everything.
func (o *outbox) emptiedLocked() {
	o.full = false
	o.closeIfDoneLocked()
	o.tellDrainedLocked()
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
	if o.cork != nil && o.cork.refused {
		o.cork = nil
	}
	if len(last) > 0 {
		o.take(last)
	}
	o.closing = true
	o.closeBy = o.b.deadlines.now() + int64(min(o.b.o.WriteTimeout, timeout))
	o.sock.hurry(o)
	o.mu.Unlock()
	o.flush()
}

// leftLocked is how long until closeBy.
func (o *outbox) leftLocked() time.Duration {
	return time.Duration(o.closeBy - o.b.deadlines.now())
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
	case !o.closing || o.full || o.closed || o.cork != nil || len(o.buf) > o.sent || o.staging != nil && (o.staging.busy || len(o.staging.staged) > 0):
	case o.unread:
		o.failLocked()
	case !o.halved:
		o.halved = true
		if !o.sock.closeWrite() {
			o.failLocked()
			return
		}
		o.sock.linger(lingerTime)
	}
}

// readerDone says that nobody reads any more: the socket is closed when what is
// to be written has been.
func (o *outbox) readerDone() {
	o.mu.Lock()
	o.closing, o.unread = true, true
	o.mu.Unlock()
	o.flush()
}

// readNoMore says that what the client sends from here on may be lost.
func (o *outbox) readNoMore() {
	o.mu.Lock()
	o.unread = true
	o.mu.Unlock()
}

// lingerTime is how long a client may take to close its side after we have
// closed ours.
const lingerTime = time.Second

// failLocked closes the socket and forgets what waits.
func (o *outbox) failLocked() {
	o.releaseLocked()
	if o.staging != nil {
		o.staging.staged = nil
	}
	o.cork = nil
	o.closing = true
	if o.closed {
		return
	}
	o.closed = true
	o.sock.close() // the reader sees it and ends the connection
	o.sock.progressed(o)
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
