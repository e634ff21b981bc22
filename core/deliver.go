package core

import (
	"lunamq/core/packet"
)

// deliver hands one message to one receiver: to its connection if that can
// take it now, else to its queue.
func (r *round) deliver(m *Message, rc *receiver) {
	s := rc.sub.sess
	qos := min(m.QoS, rc.qos) // [MQTT-3.8.4-8]
	retain := m.Retain && rc.asPublished
	if qos == 0 && !s.held0.Load() && !r.wantsDeliver(m, s.mount()) {
		r.deliverQoS0(m, rc, retain)
		return
	}
	q := queued{msg: r.keep(m), sub: rc.sub, ids: rc.ids, qos: qos, retain: retain}
	s.mu.Lock()
	gone, client := s.gone, s.client
	if !gone {
		s.acceptLocked(r, q)
	}
	s.mu.Unlock()
	if gone {
		r.leave(q, client, CauseSessionEnded)
	}
}

// wantsDeliver asks the deliver hooks about the message being routed once for
// all receivers of a mount.
func (r *round) wantsDeliver(m *Message, mount string) bool {
	t := r.b.hooks.Load()
	if len(t.deliver) == 0 {
		return false
	}
	if r.wants.asked != t || r.wants.mount != mount {
		r.wants.asked, r.wants.mount, r.wants.answer = t, mount, r.b.wantsDeliver(m.Topic, mount)
	}
	return r.wants.answer
}

// wantsDeliver says whether a deliver hook wants messages of this topic. One
// that panics does: asked again in its turn, it refuses the message. The caller
// may hold the session's lock.
func (b *Broker) wantsDeliver(full, mount string) (wanted bool) {
	hooks := b.hooks.Load().deliver
	if len(hooks) == 0 {
		return false
	}
	defer func() {
		if recover() != nil { // counted and logged where it refuses
			wanted = true
		}
	}()
	for _, h := range hooks {
		if h.WantsDeliver(unmounted(mount, full)) {
			return true
		}
	}
	return false
}

// deliverQoS0 appends to the receiver's outbox, or drops.
func (r *round) deliverQoS0(m *Message, rc *receiver, retain bool) {
	s := rc.sub.sess
	c := s.conn.Load()
	if c == nil || len(rc.ids) > 0 || c.aliasMaximum > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		c = s.conn.Load()
		if c == nil {
			r.offlineQoS0Locked(s, m, rc, retain)
			return
		}
		if len(rc.ids) > 0 || c.aliasMaximum > 0 {
			q := queued{msg: m, sub: rc.sub, ids: rc.ids, retain: retain}
			r.outcome(m, c, s.sendLocked(r, c, &q, 0, false))
			return
		}
	}
	f := r.frame(m, c.version == packet.V5, 0, retain, c.client.Mount)
	r.outcome(m, c, c.append(r, f, 0))
}

// offlineQoS0Locked keeps a QoS 0 message for a session without a connection
// where the option says so.
func (r *round) offlineQoS0Locked(s *session, m *Message, rc *receiver, retain bool) {
	if s.gone || !s.keepsQoS0Locked() {
		r.drop(m, s.client, CauseOfflineQoS0)
		return
	}
	s.enqueueLocked(r, queued{msg: r.keep(m), sub: rc.sub, ids: rc.ids, retain: retain})
}

// keepsQoS0Locked says that QoS 0 messages wait while there is no connection.
func (s *session) keepsQoS0Locked() bool { return s.b.o.QueueQoS0Offline && s.persistentLocked() }

// sendResult is what became of a message that was to be appended to an outbox.
type sendResult uint8

const (
	sent sendResult = iota
	noRoom
	tooLarge
)

// outcome counts a QoS 0 message that could not be sent as lost.
func (r *round) outcome(m *Message, c *conn, res sendResult) {
	switch res {
	case noRoom:
		r.drop(m, c.client, CauseSlowConsumer)
	case tooLarge:
		r.drop(m, c.client, CauseTooLarge)
	}
}

// append puts a frame into the connection's outbox.
func (c *conn) append(r *round, f *frame, id uint16) sendResult {
	if f.size() > int(c.maxPacketOut) || len(f.head) == 0 {
		return tooLarge // [MQTT-3.1.2-24]
	}
	if f.idAt >= 0 {
		f.head[f.idAt], f.head[f.idAt+1] = byte(id>>8), byte(id)
	}
	if !c.out.append(r, f.head, f.payload) {
		return noRoom
	}
	r.counts.sentPublish(f.size())
	return sent
}

func (n *counts) sentPublish(bytes int) {
	n.publishSent++
	n.packetsSent++
	n.messagesSent++
	n.publishSentBytes += int64(bytes)
}

// acceptLocked takes a message for the session: sent at once if nothing is
// before it, else queued.
func (s *session) acceptLocked(r *round, q queued) {
	if q.qos == 0 && s.conn.Load() == nil && !s.keepsQoS0Locked() {
		r.drop(q.msg, s.client, CauseOfflineQoS0)
		return
	}
	if !s.sendNowLocked(r, q) && s.enqueueLocked(r, q) {
		s.pumpLocked(r)
	}
}

// sendNowLocked sends a QoS 1 or 2 message that nothing is before and that
// needs no change for this receiver, without passing through the queue.
func (s *session) sendNowLocked(r *round, q queued) bool {
	c := s.conn.Load()
	if c == nil || q.qos == 0 || s.pumping || s.queue.len() > 0 || s.spill != nil || len(s.window.resend) > 0 || s.window.used >= int(c.windowOut) ||
		len(q.ids) > 0 || c.aliasMaximum > 0 || s.keptLocked() || s.b.wantsDeliver(q.msg.Topic, s.mount()) {
		return false
	}
	f := r.frame(q.msg, c.version == packet.V5, q.qos, q.retain, c.client.Mount)
	id := s.flyLocked(q)
	switch c.append(r, f, id) {
	case noRoom:
		s.landLocked(id)
		return false
	case tooLarge:
		s.landLocked(id)
		r.drop(q.msg, s.client, CauseTooLarge)
	}
	return true
}

// enqueueLocked appends to the queue within its bounds; what exceeds them is
// dropped at the configured end and counted.
func (s *session) enqueueLocked(r *round, q queued) bool {
	if !s.makeRoomLocked(r, q.qos, q.msg.Weight()) {
		r.drop(q.msg, s.client, CauseQueueFull)
		return false
	}
	s.seq++
	q.seq = s.seq
	if q.qos > 0 && s.keptLocked() {
		s.keepLocked(r, &q)
	}
	s.pushLocked(q)
	return true
}

// keepLocked stores a message: it waits in its queue until that is done.
func (s *session) keepLocked(r *round, q *queued) {
	q.stored, q.held = true, r.holdFor(s)
	r.batch.add(putMessage(s, q))
}

// queueFor returns the queue of a QoS.
func (s *session) queueFor(qos byte) *queue {
	if qos == 0 {
		return &s.queue0
	}
	return &s.queue
}

// pushLocked appends to what waits and counts it.
func (s *session) pushLocked(q queued) {
	list := s.queueFor(q.qos)
	if q.qos > 0 && s.spill != nil {
		list = &s.spill.tail
	}
	list.push(q)
	s.countLocked(q.msg.Weight(), 1)
}

// countLocked takes n messages of some bytes, negative ones for those that
// left the queues, into the counts that others see.
func (s *session) countLocked(bytes, n int) {
	s.b.queuedBytes.Add(int64(bytes))
	s.b.queuedCount.Add(int64(n))
	s.waits.Store(s.waitingLocked() > 0)
	if s.queue0.len() > 0 {
		s.held0.Store(true)
	}
}

// passHeld0Locked lets QoS 0 messages go straight to the outbox again once none
// waits. One that has left its queue and is not in the outbox yet still does.
func (s *session) passHeld0Locked() { s.held0.Store(s.queue0.len() > 0 || s.pumping) }

// flyLocked puts a message in flight and landLocked ends that; what is in
// flight counts among the bytes that wait.
func (s *session) flyLocked(q queued) uint16 {
	s.b.queuedBytes.Add(int64(q.msg.Weight()))
	return s.ownWindowLocked().put(q)
}

func (s *session) landLocked(id uint16) {
	s.b.queuedBytes.Add(-int64(s.window.slots[id-1].msg.Weight()))
	s.window.settle(id)
}

// popLocked takes the first message of a queue.
func (s *session) popLocked(list *queue) (queued, bool) {
	q, ok := list.pop()
	if ok {
		s.countLocked(-q.msg.Weight(), -1)
	}
	return q, ok
}

// forgetLocked takes a message out of the store.
func (s *session) forgetLocked(r *round, q *queued) {
	if !q.stored {
		return
	}
	if op := (Op{Kind: DeleteMessage, Session: s.name, Life: s.life, Seq: q.seq}); !q.held.giveUp(op) {
		r.batch.add(op)
	}
}

// giveBackLocked puts a message back to the front of its queue.
func (s *session) giveBackLocked(q queued) {
	s.queueFor(q.qos).pushFront(q)
	s.countLocked(q.msg.Weight(), 1)
}

// sendLocked encodes one PUBLISH for c and appends it.
func (s *session) sendLocked(r *round, c *conn, q *queued, id uint16, dup bool) sendResult {
	v5 := c.version == packet.V5
	p := &r.out
	r.encode(q.msg, v5, q.qos, q.retain, c.client.Mount)
	p.PacketID, p.Dup = id, dup
	if v5 {
		p.Props.SubscriptionIDs = q.ids
	}
	full := p.Topic
	if full == "" { // stored by a program that took it to be below the mount
		return tooLarge
	}
	fresh := v5 && c.aliasMaximum > 0 && c.useAlias(p)
	res := c.appendPublish(r, p)
	if fresh && res != sent { // the receiver has not learnt the alias
		delete(c.aliasesOut, full)
	}
	return res
}

// appendPublish encodes a PUBLISH for this connection alone and puts it into its
// outbox.
func (c *conn) appendPublish(r *round, p *packet.Publish) sendResult {
	if p.Size(c.version) > int(min(c.maxPacketOut, maxWirePacket)) { // [MQTT-3.1.2-24]
		return tooLarge
	}
	r.scratch, _ = packet.AppendPublishHead(r.scratch[:0], c.version, p)
	if !c.out.append(r, r.scratch, p.Payload) {
		return noRoom
	}
	r.counts.sentPublish(len(r.scratch) + len(p.Payload))
	return sent
}

// useAlias replaces the topic by an alias the receiver knows, or tells it one;
// it reports whether the alias is new. Aliases are given to the first topics
// of a connection, in the order of sending (3.3.2.3.4).
func (c *conn) useAlias(p *packet.Publish) (fresh bool) {
	alias, known := c.aliasesOut[p.Topic]
	if !known {
		if len(c.aliasesOut) >= int(c.aliasMaximum) {
			return false
		}
		if c.aliasesOut == nil {
			c.aliasesOut = make(map[string]uint16)
		}
		alias = uint16(len(c.aliasesOut) + 1)
		c.aliasesOut[string(append([]byte(nil), p.Topic...))] = alias
	}
	p.Props.Set(packet.TopicAlias)
	p.Props.TopicAlias = alias
	if known {
		p.Topic = ""
	}
	return !known
}
