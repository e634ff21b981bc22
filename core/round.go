package core

import (
	"sync"
	"time"

	"lunamq/core/packet"
)

// round is what one goroutine does between two flushes: it handles what one
// read brought (or one timer, one script-made message), appends to outboxes,
// and at its end flushes each of them once and tells of what was dropped. It
// holds the memory that this takes, so that an idle connection holds none.
type round struct {
	b       *Broker
	flushes *flushes // of the round, or of the loop it is in
	own     flushes
	loop    *loop // of the poller, that handles the connection; mostly nil
	since   int64 // by the clock, of the last flush, where rules have been asked
	drops   []DroppedEvent
	untold  bool  // drops are counted only: the round is a dropped hook's
	batch   Batch // what the message or packet being handled changes in the store
	held    *held // the messages that batch stores; nil: none
	flights flights

	// of the PUBLISH being handled:
	in      packet.Publish
	msg     Message
	publish PublishEvent

	// of the message being routed:
	kept   *Message
	frames []frame
	wants  struct { // of deliver hooks
		asked  *hookTable
		mount  string
		answer bool
	}
	matches
	passing route // of a topic that its connection does not remember

	// of one delivery and of small answers:
	out     packet.Publish
	scratch []byte

	counts counts
}

// counts are added to the broker's counters at the end of a round.
type counts struct {
	packetsReceived, messagesReceived, publishReceived, publishReceivedBytes int64
	packetsSent, messagesSent, publishSent, publishSentBytes                 int64
}

// frame is one encoding of the message being routed: all receivers of the same
// version, QoS, retain flag and mount are sent the same bytes but for the
// packet identifier.
type frame struct {
	v5      bool
	retain  bool
	qos     byte
	mount   string
	head    []byte // all before the payload; empty: no packet can carry it
	idAt    int
	payload []byte // the message's
}

func (f *frame) size() int { return len(f.head) + len(f.payload) }

var rounds = sync.Pool{New: func() any { return new(round) }}

func (b *Broker) newRound() *round {
	r := rounds.Get().(*round)
	r.b = b
	r.flushes = &r.own
	return r
}

// flush writes out what was appended so far.
func (r *round) flush() { r.flushes.flush() }

// beforeHooks is called before hooks are asked, which may take long: what was
// appended is not held back by slow rules for longer than one of them takes,
// and while rules are slow, the loop's other connections are left to another.
func (r *round) beforeHooks() {
	if r.loop != nil {
		r.loop.beforeHooks()
	}
	now := r.b.clock.now()
	switch {
	case r.since == 0:
		r.since = now
	case now-r.since > int64(flushAfter):
		r.flush()
		r.since = now
	}
}

// mayWait is called before the round waits for something: nothing that was
// appended waits with it, nor do other connections.
func (r *round) mayWait() {
	if r.loop != nil {
		r.loop.stepAside()
	}
	r.flush()
}

// flushAfter is how long a round with rules goes on before it flushes.
const flushAfter = 2 * time.Millisecond

// end commits what nobody waits for, flushes, tells of what was dropped, and
// gives the round back.
func (r *round) end() {
	r.settle()
	r.flush()
	r.reset()
	rounds.Put(r)
}

// settle does what must not wait for others: it commits what nobody waits for
// and tells of what was dropped.
func (r *round) settle() {
	r.b.commitNow(r) // what told events have changed
	for len(r.drops) > 0 {
		r.flush()
		drops := r.drops
		r.drops = nil
		for i := range drops {
			r.b.tellDropped(r, &drops[i])
		}
	}
}

// reset counts what the round has done and forgets it.
func (r *round) reset() {
	r.b.metrics.add(&r.counts)
	r.counts = counts{}
	r.untold = false
	r.since = 0
	r.forget()
	r.in = packet.Publish{Props: packet.Properties{User: r.in.Props.User[:0]}}
	r.msg = Message{}
	r.publish = PublishEvent{}
	r.passing = route{}
	clear(r.batch.Ops)
	r.batch.Ops = r.batch.Ops[:0]
	if cap(r.scratch) > keepBuffer {
		r.scratch = nil
	}
}

// forget drops what belonged to the message last routed.
func (r *round) forget() {
	r.kept = nil
	r.wants.asked = nil
	for i := range r.frames {
		f := &r.frames[i]
		f.payload = nil
		if cap(f.head) > keepBuffer { // user properties
			f.head = nil
		}
	}
	r.frames = r.frames[:0]
}

// keep returns the copy of m that owns its memory, made once per message.
func (r *round) keep(m *Message) *Message {
	if r.kept == nil {
		r.kept = m.keep()
	}
	return r.kept
}

// frame returns the encoding of m, made once per version, QoS, retain flag and mount.
func (r *round) frame(m *Message, v5 bool, qos byte, retain bool, mount string) *frame {
	for i := range r.frames {
		if f := &r.frames[i]; f.v5 == v5 && f.qos == qos && f.retain == retain && f.mount == mount {
			return f
		}
	}
	if len(r.frames) < cap(r.frames) {
		r.frames = r.frames[:len(r.frames)+1] // with the memory of an earlier message, to be reused
	} else {
		r.frames = append(r.frames, frame{})
	}
	f := &r.frames[len(r.frames)-1]
	f.v5, f.qos, f.retain, f.mount = v5, qos, retain, mount
	r.encode(m, v5, qos, retain, mount)
	if r.out.Topic == "" || r.out.Size(version(v5)) > maxWirePacket { // in this version it has more around the payload
		f.head = f.head[:0]
		return f
	}
	f.head, f.idAt = packet.AppendPublishHead(f.head[:0], version(v5), &r.out)
	f.payload = m.Payload
	return f
}

// encode prepares r.out for m.
func (r *round) encode(m *Message, v5 bool, qos byte, retain bool, mount string) {
	p := &r.out
	p.Props = packet.Properties{}
	p.Dup, p.QoS, p.Retain = false, qos, retain
	p.Topic, p.Payload, p.PacketID = unmounted(mount, m.Topic), m.Payload, 0
	if qos > 0 {
		p.PacketID = 1 // patched per receiver
	}
	if v5 {
		m.toProperties(&p.Props, mount)
	}
}

func version(v5 bool) packet.Version {
	if v5 {
		return packet.V5
	}
	return packet.V311
}

// drop notes that m was lost on purpose; told at the end of the round, outside
// all locks. receiver may be nil.
func (r *round) drop(m *Message, receiver *Client, cause Cause) {
	r.b.metrics.Dropped.add(cause)
	if r.untold || len(r.b.hooks.Load().dropped) == 0 {
		return
	}
	if len(r.drops) >= maxDropsTold {
		return // counted, not told: a round must not grow without bound
	}
	r.drops = append(r.drops, DroppedEvent{Client: receiver, Publisher: m.Publisher, Message: r.keepFor(m), Cause: cause})
}

// maxDropsTold bounds the dropped events of one round.
const maxDropsTold = 10_000

// keepFor returns a copy of m for a dropped event, without mount.
func (r *round) keepFor(m *Message) *Message {
	k := m.keep()
	if m.Publisher != nil && m.Publisher.Mount != "" && len(k.Topic) >= len(m.Publisher.Mount) && k.Topic[:len(m.Publisher.Mount)] == m.Publisher.Mount {
		k.Topic = k.Topic[len(m.Publisher.Mount):]
	}
	return k
}
