package core

import (
	"fmt"
	"strings"
	"time"

	"lunamq/core/packet"
)

// storedClientLocked is what the store keeps of a session that has s.mu held.
func (b *Broker) storedClientLocked(s *session) *StoredClient {
	c := &StoredClient{Client: *s.client, Vars: s.vars.All(), Limits: s.limits, Expiry: s.expiry}
	c.Client.Vars = nil
	switch {
	case s.owner != nil:
	case s.expiresAt.IsZero():
		c.DisconnectedAt = time.Now().UnixNano()
	default:
		c.DisconnectedAt = s.expiresAt.Add(-time.Duration(s.expiry) * time.Second).UnixNano()
	}
	if w := s.will; w != nil {
		c.Will = &StoredWill{Message: w.msg, Delay: w.delay, Reason: w.reason, Text: w.text}
		if s.owner == nil {
			c.Will.Due = w.due.UnixNano()
		}
	}
	return c
}

// storeLocked stores what the session is now, at once: what two goroutines
// store of one session reaches the store in the order of its lock.
func (s *session) storeLocked() { s.storeForLocked(&unanswered{b: s.b}) }

func (s *session) storeForLocked(done Committed) {
	s.stored = true
	s.b.store.Commit(&Batch{Ops: []Op{{Kind: PutSession, Session: s.name, Client: s.b.storedClientLocked(s)}}}, done)
}

// sessionStored is the completion of a CONNECT whose session is to be kept. One
// that is not kept ends its connection, for what is stored later would belong
// to nothing.
type sessionStored struct{ c *conn }

// Committed implements Committed.
func (k sessionStored) Committed(err error) {
	if err != nil {
		k.c.b.metrics.StoreErrors.Add(1)
		go k.c.stop(stop{reason: packet.ImplementationSpecificError, text: "the session could not be stored: " + err.Error(), by: ByBroker})
	}
}

// storeNoMoreLocked takes the session out of the store, with all that belongs to it.
func (s *session) storeNoMoreLocked() {
	if !s.stored {
		return
	}
	s.stored = false
	s.b.store.Commit(&Batch{Ops: []Op{{Kind: DeleteSession, Session: s.name}}}, &unanswered{b: s.b})
}

func putMessage(s *session, q *queued) Op {
	return Op{Kind: PutMessage, Session: s.name, Seq: q.seq, Queued: StoredMessage{
		Message: q.msg, ExpiresAt: q.msg.expiresAt, QoS: q.qos, Retain: q.retain, Identifiers: q.ids, Filter: q.sub.requested,
	}}
}

// restore makes the sessions and retained messages that the store has kept.
func (b *Broker) restore() error {
	r := &restorer{b: b, sessions: make(map[string]*session)}
	return b.store.Load(r.apply)
}

// armSessions starts the clocks of the sessions that were restored. That is
// left to the first Serve, for a will that is due meets the rules.
func (b *Broker) armSessions() {
	b.sessions.each(func(s *session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.owner == nil && !s.gone {
			s.armLocked()
		}
	})
}

// restorer takes in what a store hands out.
type restorer struct {
	b        *Broker
	sessions map[string]*session
}

func (r *restorer) apply(op Op) error {
	switch op.Kind {
	case PutRetained:
		m := *op.Queued.Message
		m.expiresAt = op.Queued.ExpiresAt
		r.b.keepRetained(&m)
		return nil
	case PutSession:
		return r.session(op)
	case PutValue:
		r.b.values.kept = append(r.b.values.kept, op)
		return nil
	case PutBacklog:
		return r.backlog(op)
	}
	s := r.sessions[op.Session]
	if s == nil { // its session could not be stored, or was lost: nobody can come for it
		r.b.log.Warn("stored for a session that is not; left out", "client", op.Session, "operation", op.Kind)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op.Kind {
	case PutSubscription:
		s.restoreSubscription(op.Subscription)
	case PutMessage:
		s.restoreMessage(op)
	case PutInflight, PutReleased:
		s.restoreInflight(op)
	case PutReceived:
		s.received.add(op.ID)
	}
	return nil
}

// backlog reads the messages that wait for a session.
func (r *restorer) backlog(op Op) error {
	for from, left := op.Backlog.First, op.Backlog.Count; left > 0; {
		ops, err := r.b.store.Waiting(op.Session, from, left, 1<<20)
		if err != nil || len(ops) == 0 {
			return err
		}
		for _, op := range ops {
			if err := r.apply(op); err != nil {
				return err
			}
		}
		from, left = ops[len(ops)-1].Seq+1, left-len(ops)
	}
	return nil
}

// restoreSession makes the session of k.
func (b *Broker) restoreSession(k sessionKey) *session {
	sh := b.sessions.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b.sessions.count.Add(1)
	return sh.add(b, k)
}

// session makes a session without connection. One that was connected when the
// broker ended is taken as disconnected now.
func (r *restorer) session(op Op) error {
	mount, id, ok := strings.Cut(op.Session, "\x00")
	if !ok || op.Client == nil {
		return fmt.Errorf("session %q is not one", op.Session)
	}
	s := r.b.restoreSession(sessionKey{mount, id}) // also above MaxSessions: what was accepted is kept
	in := op.Client
	client := in.Client
	client.Vars = &s.vars
	s.client, s.established, s.stored, s.expiry, s.limits = &client, true, true, in.Expiry, in.Limits
	for k, v := range in.Vars {
		_ = s.vars.Set(k, v) // was checked when it was set
	}
	since := time.Now()
	if in.DisconnectedAt != 0 {
		since = time.Unix(0, in.DisconnectedAt)
	}
	if s.expiry != never {
		s.expiresAt = since.Add(time.Duration(s.expiry) * time.Second)
	}
	if w := in.Will; w != nil {
		s.will = restoreWill(s, w)
		if in.DisconnectedAt == 0 { // it was connected when the broker ended, and is not any more
			s.will.due = since.Add(time.Duration(w.Delay) * time.Second)
			s.will.reason, s.will.text = packet.UnspecifiedError, "the broker ended"
		}
	}
	r.sessions[op.Session] = s
	return nil
}

func restoreWill(s *session, in *StoredWill) *will {
	m := *in.Message
	m.Origin, m.Publisher = OriginWill, s.client
	return &will{msg: &m, delay: in.Delay, client: s.client, sess: s, due: time.Unix(0, in.Due), reason: in.Reason, text: in.Text}
}

func (s *session) restoreSubscription(in *StoredSubscription) {
	groupName, _ := splitShare(in.Requested)
	sub := &subscription{
		sess: s, requested: in.Requested, filter: in.Filter, full: mounted(s.key.mount, in.Filter), qos: in.QoS,
		noLocal: in.NoLocal, asPublished: in.RetainAsPublished, handling: in.RetainHandling, id: in.Identifier,
	}
	if s.subs == nil {
		s.subs = make(map[string]*subscription)
	}
	s.subs[in.Requested] = sub
	s.b.link(sub, groupName)
}

func (s *session) restoreMessage(op Op) {
	m := *op.Queued.Message
	m.expiresAt = op.Queued.ExpiresAt
	if m.Publisher == nil {
		m.Publisher = anonymous[OriginBroker]
	}
	sub := s.subs[op.Queued.Filter]
	if sub == nil { // it was unsubscribed since; what waited is still delivered
		sub = &subscription{sess: s, requested: op.Queued.Filter, filter: op.Queued.Filter, full: op.Queued.Filter, qos: op.Queued.QoS}
	}
	q := queued{msg: &m, sub: sub, ids: op.Queued.Identifiers, seq: op.Seq, qos: op.Queued.QoS, retain: op.Queued.Retain, stored: true}
	s.seq = max(s.seq, op.Seq)
	s.pushLocked(q)
}

// restoreInflight moves a message that had been sent back under its packet
// identifier. If another has that, for its end could not be stored, it is sent
// anew.
func (s *session) restoreInflight(op Op) {
	if op.ID == 0 || s.window.get(op.ID) != nil {
		return
	}
	for _, q := range s.takeLocked(func(q *queued) bool { return q.seq == op.Seq }) {
		state := flightPuback
		switch {
		case op.Kind == PutReleased:
			state = flightPubcomp
		case q.qos == 2:
			state = flightPubrec
		}
		s.b.queuedBytes.Add(int64(q.msg.Weight()))
		s.window.restore(op.ID, q, state)
	}
}

// restore puts a message back under its packet identifier.
func (w *window) restore(id uint16, q queued, state flightState) {
	for len(w.slots) < int(id) {
		w.slots = append(w.slots, flight{})
		w.free = append(w.free, uint16(len(w.slots)))
	}
	for i, f := range w.free {
		if f == id {
			w.free = append(w.free[:i], w.free[i+1:]...)
			break
		}
	}
	w.order++
	w.used++
	w.slots[id-1] = flight{queued: q, state: state, order: w.order}
}
