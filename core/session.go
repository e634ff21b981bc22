package core

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// session is what outlives a connection: subscriptions, what waits for the
// client, what is unacknowledged either way, the will (4.1).
type session struct {
	// Immutable:
	b      *Broker
	name   string // its identity: the final client identifier within a mount
	mountN int32  // length of the mount
	life   uint32 // tells it in the store from others of that name; 0: restored

	// Atomic:
	conn    atomic.Pointer[conn] // the live connection: accepted, CONNACK appended; nil while there is none
	held0   atomic.Bool          // QoS 0 messages wait: the next may not overtake them [MQTT-4.6.0-6]
	waits   atomic.Bool          // messages of QoS 1 and 2 wait
	changed atomic.Bool          // vars have changed since the session was stored

	mu sync.Mutex
	// Guarded by mu:
	gone        bool          // it has ended; nothing may be added any more
	established bool          // a client was accepted with it
	stored      bool          // the store knows it
	pumping     bool          // a goroutine asks deliver hooks
	expiry      uint32        // seconds after the connection's end; 0 with it, 0xFFFFFFFF never
	expires     int64         // while offline, by the broker's clock; 0: never
	owner       *conn         // the connection that has the session, from CONNACK until its end
	client      *Client       // facts of the present or last connection
	ended       chan struct{} // closed when the store has been told; nil before the end, and without a store
	limits      *Limits       // shared, not to be written to
	vars        Vars
	subs        subTable
	received    *idSet           // QoS 2 identifiers between PUBLISH and PUBREL [MQTT-4.3.3]
	unkept      map[uint16]*held // of these, with a durable store: the batches that store them
	will        *will

	queue0   queue               // QoS 0, where they cannot go at once
	queue    queue               // QoS 1 and 2; those in memory that are next
	spill    *spill              // what lies in the store alone, and what is behind it; nil: nothing
	removed  map[uint64]struct{} // seqs that left from between others
	window   *window             // noWindow where there is none
	retained *retainedCursor     // the first of the subscriptions whose retained messages are on their way
	seq      uint64

	due // session expiry or will delay, whichever is next
}

// persistent says that the session outlives its connection.
func (s *session) persistentLocked() bool { return s.expiry > 0 }

// keptLocked says that what changes of the session is stored.
func (s *session) keptLocked() bool { return s.b.stores && s.persistentLocked() }

// sessions is the table of all sessions, in shards so that connecting clients
// seldom meet.
type sessions struct {
	shards [64]sessionShard
	count  atomic.Int64
}

type sessionShard struct {
	mu sync.Mutex
	m  map[string]*session // by name
}

// sessionName is what a session is called: neither part holds U+0000.
func sessionName(mount, id string) string { return mount + "\x00" + id }

func (s *session) mount() string { return s.name[:s.mountN] }
func (s *session) id() string    { return s.name[s.mountN+1:] }

func (t *sessions) shard(name string) *sessionShard {
	const prime = 16777619 // FNV-1a, 32 bits
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * prime
	}
	return &t.shards[h%uint32(len(t.shards))]
}

// find returns a session, nil if there is none.
func (t *sessions) find(mount, id string) *session {
	name := sessionName(mount, id)
	sh := t.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.m[name]
}

// findOrCreate returns a session; nil if it would be one too many.
func (b *Broker) findOrCreate(mount, id string) *session {
	name := sessionName(mount, id)
	sh := b.sessions.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.m[name]; s != nil {
		return s
	}
	if b.sessions.count.Add(1) > int64(b.o.MaxSessions) {
		b.sessions.count.Add(-1)
		return nil
	}
	return sh.add(b, name, len(mount))
}

// add puts a new session into a shard whose lock is held.
func (sh *sessionShard) add(b *Broker, name string, mount int) *session {
	if sh.m == nil {
		sh.m = make(map[string]*session)
	}
	s := &session{b: b, name: name, mountN: int32(mount), window: &noWindow}
	if b.stores {
		s.life = b.lives.Add(1)
	}
	s.vars.sess = s
	if mount > 0 {
		b.mounts.Store(true)
	}
	sh.m[name] = s
	return s
}

// remove takes s out of the table.
func (t *sessions) remove(s *session) {
	sh := t.shard(s.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m[s.name] == s {
		delete(sh.m, s.name)
		t.count.Add(-1)
	}
}

// each calls fn for every session, with no lock held.
func (t *sessions) each(fn func(*session)) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		list := make([]*session, 0, len(sh.m))
		for _, s := range sh.m {
			list = append(list, s)
		}
		sh.mu.Unlock()
		for _, s := range list {
			fn(s)
		}
	}
}

// endSession ends a session that has no connection: its subscriptions go, its
// will is sent, what waits is lost or, where it came by a shared subscription,
// goes to another member [MQTT-4.8.2-4]. It does nothing if a connection has
// the session, or it has ended already. One that is stored keeps its name until
// the store has been told, so that the next of this name is stored behind it.
func (b *Broker) endSession(r *round, s *session, reason string) {
	s.mu.Lock()
	if s.gone || s.owner != nil {
		s.mu.Unlock()
		return
	}
	s.gone = true
	s.stopClockLocked()
	w := s.will
	s.will = nil
	subs := s.subs
	for sub := range subs.all() { // before others see that it is gone: they look for another member
		b.unlink(sub)
	}
	s.subs = subTable{}
	client, sp := s.client, s.spill
	if s.stored {
		s.ended = make(chan struct{})
	} else {
		b.sessions.remove(s)
	}
	if sp != nil {
		sp.ending = &ending{client: client, subs: subs}
		s.storeEndLocked()
	}
	left := s.drainLocked()
	s.retained = nil
	s.mu.Unlock()

	if w != nil {
		b.sendWill(r, w)
	}
	if sp == nil {
		b.remove(r, s, left, client)
	} else {
		r.leaveAll(left, client)
		b.commitNow(r)
		s.mu.Lock()
		sp.ending.ready = true
		s.wakePagerLocked() // it goes on with what lies in the store
		s.mu.Unlock()
	}
	b.log.Debug("session ended", "client", s.id(), "reason", reason)
	if client != nil { // nil: nobody was ever accepted with it
		b.tellSessionEnded(r, client, reason)
	}
}

// remove gives what is left of a session to others, and with it takes the
// session out of the store; then its name is free.
func (b *Broker) remove(r *round, s *session, left []queued, client *Client) {
	r.leaveAll(left, client)
	if s.ended == nil {
		b.commitNow(r)
		return
	}
	r.batch.add(Op{Kind: DeleteSession, Session: s.name, Life: s.life})
	b.commitNow(r)
	b.sessions.remove(s)
	close(s.ended)
}

// leaveAll lets messages go that their session has no use for.
func (r *round) leaveAll(left []queued, client *Client) {
	r.forget()
	for _, q := range left {
		r.leave(q, client, CauseSessionEnded)
	}
}

// leave finds another member for a message that came by a shared subscription,
// or counts it as lost. The caller holds no lock.
func (r *round) leave(q queued, client *Client, cause Cause) {
	if _, expired := q.msg.remaining(); expired {
		r.drop(q.msg, client, CauseExpired)
		return
	}
	if g := r.b.groupNow(q.sub.group); g != nil {
		if rc, ok := g.pick(q.sub.sess, q.msg); ok {
			r.forget() // what was encoded of the message before
			r.kept = q.msg
			r.deliver(q.msg, &rc)
			r.forget()
			return
		}
	}
	r.drop(q.msg, client, cause)
}

// drainLocked empties what waits and what is unacknowledged, and returns what
// may still be given to others or is lost, of what is in memory before what lies
// in the store: not the QoS 2 messages in flight of
// which the client may have become the owner [MQTT-4.8.2-5].
func (s *session) drainLocked() (left []queued) {
	for _, q := range s.window.inOrder() {
		s.b.queuedBytes.Add(-int64(q.msg.Weight()))
		if q.qos == 1 || q.fresh {
			left = append(left, q.queued)
		}
	}
	s.window = &noWindow
	for _, q := range []*queue{&s.queue0, &s.queue} {
		for x, ok := s.popLocked(q); ok; x, ok = s.popLocked(q) {
			left = append(left, x)
		}
		*q = queue{}
	}
	return left
}

// armLocked sets the clock for a session without a connection to what comes
// next: the will or the end.
func (s *session) armLocked() {
	after := time.Duration(math.MaxInt64)
	if s.expires != 0 {
		after = time.Duration(s.expires - s.b.clock.now())
	}
	if s.will != nil {
		after = min(after, time.Until(s.will.due))
	}
	if after == math.MaxInt64 {
		s.stopClockLocked()
		return
	}
	s.b.clock.set(s, after)
}

// expireLocked says when a session without a connection ends.
func (s *session) expireLocked(after time.Duration) {
	s.expires = max(1, s.b.clock.now()+int64(after))
}

// endedLocked says that a session without connection has expired.
func (s *session) endedLocked() bool { return s.expires != 0 && s.expires <= s.b.clock.now() }

func (s *session) stopClockLocked() { s.b.clock.clear(s) }

// onDue sends a will that is due and ends a session that has expired.
func (s *session) onDue() {
	r := s.b.newRound()
	defer r.end()
	s.mu.Lock()
	if s.gone || s.owner != nil {
		s.mu.Unlock()
		return
	}
	ended := s.endedLocked()
	var w *will
	if !ended && s.will != nil && !time.Now().Before(s.will.due) {
		w, s.will = s.will, nil
	}
	if !ended {
		s.armLocked()
	}
	s.mu.Unlock()
	if w != nil {
		s.b.sendDueWill(r, w)
	}
	if ended {
		s.b.endSession(r, s, SessionExpired)
		s.b.metrics.SessionsExpired.Add(1)
	}
}
