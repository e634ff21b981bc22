package core

import (
	"bytes"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"lunamq/core/packet"
)

// Bounds of what packet hooks may ask for. What is held back of one connection
// is bounded by Options.OutboxBytes too; a packet beyond that goes at once.
const (
	MaxPacketDelay  = time.Hour
	MaxPacketCopies = 100
)

// tap shows the packets of one connection to packet hooks, where Options.Packets
// says so: those that come before they are handled, by the reader; those that go
// as they leave the outbox, by a goroutine that lives while there are some.
type tap struct {
	c       *conn
	client  atomic.Pointer[Client] // once a CONNECT was accepted
	feeding sync.Mutex             // held around the protocol: delayed packets enter beside the reader
	in, out delayLine
}

func newTap(c *conn) *tap {
	t := &tap{c: c}
	t.in.limit, t.in.release = c.b.o.OutboxBytes, c.inject
	t.out.limit, t.out.release = c.b.o.OutboxBytes, func(p []byte) { c.out.pass(p) }
	return t
}

// close forgets what is held back.
func (t *tap) close() {
	t.in.close()
	t.out.close()
}

// ask puts one packet to the hooks. What they queued is done.
func (t *tap) ask(r *round, d Direction, p []byte) (ev *PacketEvent, decided Decision) {
	b := t.c.b
	ev = &PacketEvent{Turn: Turn{round: r}, Client: t.client.Load(), Direction: d, Type: packet.Type(p[0] >> 4), Bytes: p}
	decided = ask(r, b.hooks.Load().packet, func(h PacketHook) Decision { return h.OnPacket(ev) })
	ev.Delay, ev.Copies = min(ev.Delay, MaxPacketDelay), max(0, min(ev.Copies, MaxPacketCopies))
	if ev.Copies*len(ev.Bytes) > b.o.OutboxBytes {
		b.log.Debug("a packet is not duplicated: its copies are too large", "addr", t.c.remote, "by", decided.By)
		ev.Copies = 0
	}
	ev.settle(decided.refuses() && decided.Verdict != Drop)
	return ev, decided
}

// handleTapped handles a packet as the hooks have left it. They may have made
// anything of it: what they changed is taken as if it had come so.
func (c *conn) handleTapped(r *round, h packet.Header, p []byte) error {
	ev, d := c.tap.ask(r, PacketIn, p)
	switch {
	case d.Verdict == Disconnect:
		return &stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By}
	case d.refuses():
		return nil
	}
	same := len(ev.Bytes) == len(p) && bytes.Equal(ev.Bytes, p)
	for range 1 + ev.Copies {
		switch {
		case ev.Delay > 0 && c.tap.in.hold(ev.Bytes, ev.Delay):
			continue
		case same:
			if err := c.handle(r, h, p[h.HeaderLen:]); err != nil {
				return err
			}
		default:
			if err := c.handleRaw(r, ev.Bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// handleRaw handles bytes that hooks have made, which must be whole packets.
func (c *conn) handleRaw(r *round, p []byte) error {
	for len(p) > 0 {
		if err := c.checkFirst(p[0]); err != nil {
			return err
		}
		h, ok, err := c.parseHeader(p)
		switch {
		case err != nil:
			return err
		case !ok || len(p) < h.Size:
			return refuse(packet.MalformedPacket, "a rule has cut a packet short")
		}
		if err := c.checkSize(h); err != nil {
			return err
		}
		if why := c.posted.Load(); why != nil {
			return why
		}
		if err := c.handle(r, h, p[h.HeaderLen:h.Size]); err != nil {
			return err
		}
		p = p[h.Size:]
	}
	return nil
}

// inject handles a packet that was delayed, beside the reader.
func (c *conn) inject(p []byte) {
	c.tap.feeding.Lock()
	defer c.tap.feeding.Unlock()
	if c.state == stateEnded || c.posted.Load() != nil {
		return
	}
	r := c.b.newRound()
	var err error
	defer func() {
		if x := recover(); x != nil {
			c.b.metrics.Panics.Add(1)
			c.b.log.Error("a connection panicked and is closed", "client", c.id(), "addr", c.remote, "err", x, "stack", string(debug.Stack()))
			err = refuse(packet.UnspecifiedError, "internal error")
		}
		if err != nil {
			c.end(r, err)
			c.state = stateEnded
		}
		r.end()
	}()
	err = c.handleRaw(r, p)
}

// lockFeeding is held around what the reader owns; delayed packets touch it too,
// and rules may wait meanwhile: r, of the reader, lets others go on. It may be nil.
func (c *conn) lockFeeding(r *round) (unlock func()) {
	if c.tap == nil {
		return func() {}
	}
	if !c.tap.feeding.TryLock() {
		if r != nil {
			r.mayWait()
		}
		c.tap.feeding.Lock()
	}
	return c.tap.feeding.Unlock
}

// tapLoop shows what was appended to the hooks, in order, and passes on what
// they leave of it. It lives until nothing more waits for them.
func (o *outbox) tapLoop() {
	t := o.staging
	o.mu.Lock()
	for len(t.staged) > 0 && !o.closed {
		staged := t.staged
		t.staged, t.n = nil, len(staged)
		o.mu.Unlock()
		for len(staged) > 0 {
			n := packetLength(staged)
			t.tap.show(o, staged[:n])
			staged = staged[n:]
		}
		o.mu.Lock()
		t.n = 0
		o.sock.progressed(o)
	}
	t.busy = false
	o.mu.Unlock()
	o.flush()
}

// packetLength is the length of the first of the packets that we have encoded.
func packetLength(p []byte) int {
	length, shift := 0, 0
	for i := 1; i < len(p); i++ {
		length |= int(p[i]&0x7F) << shift // 1.5.5
		if shift += 7; p[i]&0x80 == 0 {
			return min(1+i+length, len(p))
		}
	}
	return len(p)
}

// show asks about one packet that goes.
func (t *tap) show(o *outbox, p []byte) {
	r := t.c.b.newRound()
	ev, d := t.ask(r, PacketOut, p)
	r.end()
	switch {
	case d.Verdict == Disconnect:
		t.c.stop(stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By})
		return
	case d.refuses():
		return
	}
	for range 1 + ev.Copies {
		if ev.Delay > 0 && t.out.hold(ev.Bytes, ev.Delay) {
			continue
		}
		o.appendSeen(ev.Bytes)
	}
}

// appendSeen takes bytes that hooks have seen.
func (o *outbox) appendSeen(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.takeSeen(p)
	}
}

// pass takes a packet that was delayed, and sends it. What comes after the last
// packet is lost.
func (o *outbox) pass(p []byte) {
	o.mu.Lock()
	if !o.closing {
		o.takeSeen(p)
	}
	o.mu.Unlock()
	o.flush()
}
