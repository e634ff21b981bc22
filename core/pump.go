package core

import (
	"slices"
	"strings"

	"lunamq/core/packet"
)

// setPumpingLocked notes whether a goroutine of the session asks deliver hooks.
func (s *session) setPumpingLocked(pumping bool) {
	s.pumping = pumping
	s.passHeld0Locked()
}

// pumpLocked sends what may be sent now: first what is to be resent, then what
// waits, then retained messages. A message that a deliver hook wants is left
// to a goroutine of the session, so that a hook that waits holds up its
// receiver alone.
func (s *session) pumpLocked(r *round) {
	s.sendWaitingLocked(r)
	s.commitFlightsLocked(r)
}

func (s *session) sendWaitingLocked(r *round) {
	if s.pumping {
		return
	}
	c := s.conn.Load()
	if c == nil {
		return
	}
	if !s.resendLocked(r, c) {
		return
	}
	defer s.passHeld0Locked()
	for {
		q, ok := s.nextLocked(r, c)
		if !ok {
			return
		}
		if s.b.wantsDeliver(q.msg.Topic, s.mount()) {
			s.giveBackLocked(q)
			s.setPumpingLocked(true)
			go s.pumpLoop()
			return
		}
		if !s.dispatchLocked(r, c, q) {
			return
		}
	}
}

// nextLocked takes the next message that the connection can take.
func (s *session) nextLocked(r *round, c *conn) (queued, bool) {
	for {
		q, ok := queued{}, false
		switch {
		case s.queue0.len() > 0 && c.out.hasRoom(s.queue0.bytes/s.queue0.len()):
			q, ok = s.popLocked(&s.queue0)
		case s.queue.len() > 0 && s.window.used < int(c.windowOut) && s.mayLeaveLocked(r, s.queue.first()) && c.out.hasRoom(s.queue.bytes/s.queue.len()):
			q, ok = s.popLocked(&s.queue)
		case s.queue0.len() == 0 && s.queue.len() == 0 && s.spill == nil && s.fillRetainedLocked(r, c):
			continue
		}
		s.wakePagerLocked()
		if !ok {
			return q, false
		}
		if _, expired := q.msg.remaining(); expired {
			s.forgetLocked(r, &q)
			r.drop(q.msg, s.client, CauseExpired)
			continue
		}
		return q, true
	}
}

// mayLeaveLocked says whether a message may leave its queue: it is kept, or it
// can be stored together with its packet identifier. One of QoS 1 does not
// overtake those whose identifiers are on their way to the store.
func (s *session) mayLeaveLocked(r *round, q *queued) bool {
	if q.qos == 1 && len(s.window.resend) > 0 {
		return false
	}
	return !q.held.waits() || q.qos == 2 && s.b.durable && q.held == r.held
}

// dispatchLocked sends a message that was taken from its queue; false, and
// given back, if the outbox has no room.
func (s *session) dispatchLocked(r *round, c *conn, q queued) bool {
	if s.reserveLocked(r, q) {
		return true
	}
	var id uint16
	if q.qos > 0 {
		id = s.flyLocked(q)
	}
	switch s.sendLocked(r, c, &q, id, false) {
	case noRoom:
		if id != 0 {
			s.landLocked(id)
		}
		s.giveBackLocked(q)
		return false
	case tooLarge: // the receiver's maximum: discarded as if it had been sent [MQTT-3.1.2-25]
		if id != 0 {
			s.landLocked(id)
		}
		s.forgetLocked(r, &q)
		r.drop(q.msg, s.client, CauseTooLarge)
	case sent:
		if id != 0 && q.stored {
			s.flewLocked(r, q.seq, id)
		}
	}
	return true
}

// reserveLocked gives a QoS 2 message its packet identifier, if the store must
// keep that before the message is sent: after a crash it is sent again under
// the same one, so that its receiver knows it. resendLocked sends it then.
func (s *session) reserveLocked(r *round, q queued) bool {
	if q.qos < 2 || !q.stored || !s.b.durable {
		return false
	}
	s.b.queuedBytes.Add(int64(q.msg.Weight()))
	id := s.ownWindowLocked().putBack(q)
	if q.held.waits() { // in the batch that stores the message
		s.window.slots[id-1].whole = true
		r.batch.add(Op{Kind: PutInflight, Session: s.name, Life: s.life, Seq: q.seq, ID: id})
		return true
	}
	s.storeFlightLocked(r, id)
	return true
}

// storeFlightLocked stores the identifier of a message that waits for that.
func (s *session) storeFlightLocked(r *round, id uint16) {
	f := &s.window.slots[id-1]
	f.held, f.lost = holdFor(&r.flights.held, s), false
	s.flewLocked(r, f.seq, id)
}

// resendLocked sends again, with DUP, what was unacknowledged when the last
// connection ended [MQTT-4.4.0-1], and for the first time what waited for the
// store; false if not all could go.
func (s *session) resendLocked(r *round, c *conn) bool {
	w := s.window
	for len(w.resend) > 0 {
		if w.sent >= int(c.windowOut) {
			return false
		}
		id := w.resend[0]
		f := &w.slots[id-1]
		if f.lost {
			s.storeFlightLocked(r, id)
		}
		if (f.fresh || f.state == flightPubcomp) && f.held.waits() {
			return false
		}
		if f.state == flightPubcomp {
			r.scratch = (&packet.Ack{Type: packet.PUBREL, PacketID: id}).Append(r.scratch[:0], c.version)
			if !c.out.append(r, r.scratch, nil) {
				return false
			}
		} else {
			switch s.sendLocked(r, c, &f.queued, id, !f.fresh) {
			case noRoom:
				return false
			case tooLarge:
				q := f.queued
				s.landLocked(id)
				s.forgetLocked(r, &q)
				r.drop(q.msg, s.client, CauseTooLarge)
				continue
			}
		}
		w.resend = w.resend[1:]
		f.sent, f.fresh = true, false
		w.sent++
	}
	return true
}

// pumpLoop asks deliver hooks about what leaves the queue and sends it. One
// runs per session at a time, and lives until nothing more can be sent.
func (s *session) pumpLoop() {
	for s.pumpOne() {
	}
}

// pumpOne sends the next message, in a round of its own: what it changes is
// stored, and what was dropped is told, however long the queue stays full. It
// is false, and pumping over, if none can go now.
func (s *session) pumpOne() bool {
	r := s.b.newRound()
	defer r.end()
	s.mu.Lock()
	c := s.conn.Load()
	if c == nil || !s.resendLocked(r, c) {
		s.setPumpingLocked(false)
		s.commitFlightsLocked(r)
		s.mu.Unlock()
		return false
	}
	q, ok := s.nextLocked(r, c)
	if !ok {
		s.setPumpingLocked(false)
		s.mu.Unlock()
		return false
	}
	if !s.b.wantsDeliver(q.msg.Topic, s.mount()) {
		more := s.dispatchLocked(r, c, q)
		s.commitFlightsLocked(r)
		if !more {
			s.setPumpingLocked(false)
		}
		s.mu.Unlock()
		return more
	}
	s.mu.Unlock()
	changed, d := s.b.askDeliver(r, c, q)
	s.mu.Lock()
	if s.gone && !d.refuses() {
		client := s.client
		s.setPumpingLocked(false)
		s.mu.Unlock()
		r.leave(q, client, CauseSessionEnded)
		return false
	}
	more := s.decidedLocked(r, c, q, changed, d)
	s.commitFlightsLocked(r)
	s.mu.Unlock()
	if d.Verdict == Disconnect {
		c.stop(stop{reason: d.code(), text: d.Text, by: ByScript, who: d.By})
	}
	return more
}

// decidedLocked does what the deliver hooks decided on q; it reports whether
// the pump goes on.
func (s *session) decidedLocked(r *round, c *conn, q queued, changed *Message, d Decision) bool {
	if d.refuses() {
		s.forgetLocked(r, &q)
		r.drop(q.msg, c.client, CauseScript)
		return true
	}
	if s.conn.Load() != c { // it left, or another came, meanwhile: asked again on the next connection
		s.giveBackLocked(q)
		s.setPumpingLocked(false)
		s.pumpLocked(r)
		return false
	}
	out := q
	out.msg, out.qos, out.retain = changed, min(q.qos, changed.QoS), changed.Retain
	if out.qos == 0 && q.stored {
		s.forgetLocked(r, &q)
		out.stored = false
	}
	if s.reserveLocked(r, out) {
		return true
	}
	var id uint16
	if out.qos > 0 {
		id = s.flyLocked(out)
	}
	switch s.sendLocked(r, c, &out, id, false) {
	case noRoom: // the outbox is full: the decision is lost with it, the message is not
		if id != 0 {
			s.landLocked(id)
		}
		if out.qos == 0 {
			r.drop(q.msg, c.client, CauseSlowConsumer)
			return true
		}
		s.giveBackLocked(q)
		s.setPumpingLocked(false)
		return false
	case tooLarge:
		if id != 0 {
			s.landLocked(id)
		}
		s.forgetLocked(r, &out)
		r.drop(q.msg, c.client, CauseTooLarge)
	case sent:
		if id != 0 && out.stored {
			s.flewLocked(r, out.seq, id)
		}
	}
	return true
}

// askDeliver puts a message to the deliver hooks, as the receiver sees it and
// as a copy of its own, and returns what they made of it.
func (b *Broker) askDeliver(r *round, c *conn, q queued) (*Message, Decision) {
	m := *q.msg
	mount := c.client.Mount
	m.Topic = unmounted(mount, m.Topic)
	m.QoS, m.Retain = q.qos, q.retain
	m.ResponseTopic = strings.TrimPrefix(m.ResponseTopic, mount)
	m.UserProperties = slices.Clone(m.UserProperties)
	if left, _ := m.remaining(); m.HasExpiry {
		m.Expiry = left
	}
	before := m
	ev := &DeliverEvent{Turn: Turn{round: r}, Client: c.client, Message: &m, Filter: q.sub.filter(), QoS: q.sub.qos}
	d := ask(r, b.hooks.Load().deliver, func(h DeliverHook) Decision {
		if !h.WantsDeliver(m.Topic) {
			return Decision{}
		}
		return h.OnDeliver(ev)
	})
	if !d.refuses() {
		if err := b.checkMessage(&m); err != nil {
			b.log.Error("a deliver hook made a message that cannot be sent; it is delivered as it was", "client", c.client.ID, "topic", before.Topic, "err", err)
			m = before
		}
		if m.HasExpiry != before.HasExpiry || m.Expiry != before.Expiry {
			m.seal()
		}
		m.Topic = mounted(mount, m.Topic)
		if m.HasResponseTopic {
			m.ResponseTopic = mounted(mount, m.ResponseTopic)
		}
	}
	ev.settle(d.Verdict == Deny || d.Verdict == Disconnect)
	return &m, d
}
