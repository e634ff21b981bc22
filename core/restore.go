package core

import (
	"fmt"
	"strings"
	"time"

	"lunamq/core/packet"
)

// storedClientLocked is what the store keeps of a session that has s.mu held.
func (b *Broker) storedClientLocked(s *session) *StoredClient {
	c := &StoredClient{Client: *s.client, Vars: s.vars.All(), Limits: *s.limits, Expiry: s.expiry}
	c.Client.Vars = nil
	switch {
	case s.owner != nil:
	case s.expires == 0:
		c.DisconnectedAt = time.Now().UnixNano()
	default:
		left := time.Duration(s.expires - s.b.clock.now())
		c.DisconnectedAt = time.Now().Add(left - time.Duration(s.expiry)*time.Second).UnixNano()
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
func (s *session) storeLocked() {
	s.b.store.Commit(s.batchLocked(), &unanswered{b: s.b})
}

// batchLocked is the session as it is now.
func (s *session) batchLocked() *Batch {
	s.stored = true
	s.changed.Store(false)
	return &Batch{Ops: []Op{{Kind: PutSession, Session: s.name, Life: s.life, Client: s.b.storedClientLocked(s)}}}
}

// storeConnectedLocked stores what the CONNACK of c is to say. An empty batch is
// kept when what came before it is: the end of the session before this one.
func (s *session) storeConnectedLocked(c *conn) {
	batch := &Batch{}
	if s.stored {
		batch = s.batchLocked()
	}
	if s.b.durable {
		c.out.putCork()
	}
	if s.b.store.Commit(batch, sessionStored{c}) {
		c.out.pullCork()
	}
}

// varsDelay is how long changed vars may stay unstored: a rule that counts
// messages in them costs the store one operation in that time.
const varsDelay = time.Second

// onVars is called when a rule has changed vars. They are stored within
// varsDelay, and when the connection ends; no acknowledgement waits for that.
func (s *session) onVars() {
	if s.changed.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored && !s.gone {
		time.AfterFunc(varsDelay, s.storeVars)
	}
}

func (s *session) storeVars() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored && !s.gone && s.changed.Load() && !s.b.closing.Load() {
		s.storeLocked()
	}
}

// sessionStored is the completion of a CONNECT whose session is to be kept. One
// that is not kept ends its connection, for what is stored later would belong
// to nothing.
type sessionStored struct{ c *conn }

// Committed implements Committed.
func (k sessionStored) Committed(err error) {
	if err == nil {
		go k.c.out.pullCork()
		return
	}
	k.c.b.metrics.StoreErrors.Add(1)
	go func() {
		k.c.stop(stop{reason: packet.ImplementationSpecificError, text: "the session could not be stored: " + err.Error(), by: ByBroker})
		k.c.out.abortCorked() // it had ended before
	}()
}

// storeEndLocked stores that the session has ended, while there is still
// something of it in the store: a broker that starts with it ends it again.
func (s *session) storeEndLocked() {
	in := s.b.storedClientLocked(s)
	in.Expiry, in.DisconnectedAt, in.Will = 0, time.Now().UnixNano(), nil
	s.b.store.Commit(&Batch{Ops: []Op{{Kind: PutSession, Session: s.name, Life: s.life, Client: in}}}, &unanswered{b: s.b})
}

func putMessage(s *session, q *queued) Op {
	return Op{Kind: PutMessage, Session: s.name, Life: s.life, Seq: q.seq, Queued: StoredMessage{
		Message: q.msg, ExpiresAt: q.msg.expiresAt, QoS: q.qos, Retain: q.retain, Identifiers: q.ids, Filter: q.sub.requested,
	}}
}

// restore makes the sessions and retained messages that the store has kept.
func (b *Broker) restore() error {
	r := &restorer{b: b, sessions: make(map[string]*session), began: time.Now()}
	r.shown = r.began
	if err := b.store.Load(r.apply); err != nil {
		return err
	}
	r.message.settle(r.b)
	for _, s := range r.sessions {
		s.window.findFree()
	}
	if r.ops > 0 {
		r.show("restored")
	}
	return nil
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

// restorer takes in what a store hands out. Nobody else has the broker yet.
type restorer struct {
	b        *Broker
	sessions map[string]*session
	limits   sharedLimits
	message  restored // the last one: what follows says whether it was sent
	ops      int
	waiting  int
	retained int
	began    time.Time
	shown    time.Time // when the log was told last
}

// restored is a message and its session.
type restored struct {
	s *session
	q queued
}

// settle lets a message that was never sent wait.
func (m *restored) settle(b *Broker) {
	if m.s == nil {
		return
	}
	m.s.pushLocked(m.q)
	*m = restored{}
}

// showEvery is the number of operations after which the time is looked at.
const showEvery = 4096

func (r *restorer) apply(op Op) error {
	if r.ops++; r.ops%showEvery == 0 && time.Since(r.shown) >= time.Second {
		r.shown = time.Now()
		r.show("restoring")
	}
	switch op.Kind {
	case PutInflight, PutReleased:
		r.inflight(&op)
		return nil
	case PutRetained:
		m := *op.Queued.Message
		m.expiresAt = op.Queued.ExpiresAt
		r.b.keepRetained(&m)
		r.retained++
		return nil
	case PutValue:
		r.b.values.kept = append(r.b.values.kept, op)
		return nil
	case PutSession:
		return r.session(op)
	}
	s := r.sessions[op.Session]
	if s == nil { // its session could not be stored, or was lost: nobody can come for it
		r.b.log.Warn("stored for a session that is not; left out", "client", op.Session, "operation", op.Kind)
		return nil
	}
	switch op.Kind {
	case PutSubscription:
		s.restoreSubscription(op.Subscription)
	case PutMessage:
		r.message.settle(r.b)
		r.message = restored{s, s.queuedOf(&op)}
		s.seq = max(s.seq, op.Seq)
		r.waiting++
	case PutBacklog:
		r.message.settle(r.b)
		s.restoreBacklog(op.Backlog)
		r.waiting += op.Backlog.Count
	case PutReceived:
		s.ownReceivedLocked().add(op.ID)
	}
	return nil
}

// show tells the log how far the start is.
func (r *restorer) show(what string) {
	r.b.log.Info(what, "sessions", len(r.sessions), "messages", r.waiting, "retained", r.retained, "dur", time.Since(r.began).Round(time.Millisecond))
}

// restoreSession makes the session of that name.
func (b *Broker) restoreSession(name string, mount int) *session {
	sh := b.sessions.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b.sessions.count.Add(1)
	s := sh.add(b, strings.Clone(name), mount)
	s.life = 0
	return s
}

// session makes a session without connection. One that was connected when the
// broker ended is taken as disconnected now.
func (r *restorer) session(op Op) error {
	mount, _, ok := strings.Cut(op.Session, "\x00")
	if !ok || op.Client == nil {
		return fmt.Errorf("session %q is not one", op.Session)
	}
	s := r.b.restoreSession(op.Session, len(mount)) // also above MaxSessions: what was accepted is kept
	in := op.Client
	client := in.Client
	client.Vars = &s.vars
	s.client, s.established, s.stored, s.expiry, s.limits = &client, true, true, in.Expiry, r.limits.share(&in.Limits)
	for k, v := range in.Vars {
		_ = s.vars.set(k, v) // was checked when it was set
	}
	since := time.Now()
	if in.DisconnectedAt != 0 {
		since = time.Unix(0, in.DisconnectedAt)
	}
	if s.expiry != never {
		s.expireLocked(time.Until(since) + time.Duration(s.expiry)*time.Second)
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
		sess: s, requested: in.Requested, full: mounted(s.mount(), in.Filter), qos: in.QoS,
		noLocal: in.NoLocal, asPublished: in.RetainAsPublished, handling: in.RetainHandling, id: in.Identifier,
	}
	s.subs.set(sub)
	s.b.link(sub, groupName)
}

// restoreBacklog counts what lies in the store.
func (s *session) restoreBacklog(in *StoredBacklog) {
	if in.Count == 0 {
		return
	}
	s.seq = max(s.seq, in.Last)
	s.spill = &spill{n: in.Count, bytes: int(in.Bytes), first: in.First, last: in.Last, shared: in.Count}
	s.b.spilledBytes.Add(in.Bytes)
	s.b.queuedCount.Add(int64(in.Count))
	s.waits.Store(s.waitingLocked() > 0)
}

// inflight puts the message before it back under its packet identifier. If
// another has that, for its end could not be stored, it is sent anew.
func (r *restorer) inflight(op *Op) {
	m := r.message
	if m.s == nil || m.s.name != op.Session || m.q.seq != op.Seq {
		return // of a message that is no more
	}
	if op.ID == 0 || m.s.window.get(op.ID) != nil {
		r.message.settle(r.b)
		return
	}
	state := flightPuback
	switch {
	case op.Kind == PutReleased:
		state = flightPubcomp
	case m.q.qos == 2:
		state = flightPubrec
	}
	r.b.queuedBytes.Add(int64(m.q.msg.Weight()))
	m.s.ownWindowLocked().restore(op.ID, m.q, state)
	r.message = restored{}
	r.waiting--
}

// restore puts a message back under its packet identifier. findFree is to
// follow the last.
func (w *window) restore(id uint16, q queued, state flightState) {
	if n := int(id); n > len(w.slots) {
		w.slots = append(w.slots, make([]flight, n-len(w.slots))...)
	}
	w.order++
	w.used++
	w.slots[id-1] = flight{queued: q, state: state, order: w.order}
}

// findFree lists the identifiers that nothing was restored under, the lowest to be
// taken first.
func (w *window) findFree() {
	for i := len(w.slots); i > 0; i-- {
		if w.slots[i-1].state == flightFree {
			w.free = append(w.free, uint16(i))
		}
	}
}
