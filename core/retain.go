package core

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// retainedStore holds the retained messages, in a tree of topic names.
type retainedStore struct {
	tree *topic.Names[*retained]

	commit   sync.Mutex // held from the look at what is retained until the store has been handed it
	mu       sync.Mutex
	bytes    int64      // of all
	own      int        // how many are the broker's, which are held against no limit
	ownBytes int64      // of those
	expiring expiryHeap // those with a message expiry, the next one first
	timer    *time.Timer
	next     time.Time // when timer fires
}

// retained is one retained message; at is its place in the heap, -1 without.
type retained struct {
	msg  *Message
	at   int
	gone atomic.Bool // another is in its place, or none
}

func newRetainedStore() *retainedStore {
	return &retainedStore{tree: topic.NewNames[*retained]()}
}

// retain stores the message as its topic's retained one, or removes that if the
// payload is empty [MQTT-3.3.1-5], [MQTT-3.3.1-6]. It refuses one too many.
func (b *Broker) retain(r *round, m *Message) Decision {
	if !m.Retain {
		return Decision{}
	}
	if len(m.Payload) == 0 {
		if b.unretain(m.Topic) {
			r.forgetRetained(r.keep(m).Topic)
		}
		return Decision{}
	}
	k := r.keep(m)
	x := b.keepRetained(k)
	if x == nil {
		b.metrics.RetainedRefused.Add(1)
		r.drop(m, nil, CauseQueueFull)
		return Decision{Verdict: Deny, Reason: packet.QuotaExceeded, Text: "too many retained messages", By: "limits.retained"}
	}
	if b.stores && m.Origin != OriginBroker { // $SYS is made anew
		r.batch.add(Op{Kind: PutRetained, Queued: StoredMessage{Message: k, ExpiresAt: k.expiresAt}, entry: x})
	}
	return Decision{}
}

func (r *round) forgetRetained(name string) {
	if r.b.stores {
		r.batch.add(Op{Kind: DeleteRetained, Topic: name})
	}
}

// keepRetained puts k in place of its topic's retained message; nil if there are
// too many.
func (b *Broker) keepRetained(k *Message) *retained {
	t := b.retained
	t.mu.Lock()
	defer t.mu.Unlock()
	w := int64(k.Weight())
	if k.Origin != OriginBroker && (t.tree.Len()-t.own >= b.o.Retained || t.bytes-t.ownBytes+w > b.o.RetainedBytes) && !t.replacesLocked(b, k) {
		return nil
	}
	x := &retained{msg: k, at: -1}
	if old, replaced := t.tree.Set(k.Topic, x); replaced {
		t.leaveLocked(old)
	}
	t.countLocked(k, 1)
	if k.expiresAt != 0 {
		heap.Push(&t.expiring, x)
		b.armRetainedLocked()
	}
	return x
}

// replacesLocked says whether k fits where there is no room for one more: in
// the place of another that is not smaller, or leaves enough.
func (t *retainedStore) replacesLocked(b *Broker, k *Message) bool {
	old, replaces := t.tree.Get(k.Topic)
	if !replaces {
		return false
	}
	w := int64(k.Weight() - old.msg.Weight())
	return w <= 0 || t.bytes-t.ownBytes+w <= b.o.RetainedBytes
}

// countLocked counts n messages like m, which come or, below 0, leave.
func (t *retainedStore) countLocked(m *Message, n int) {
	w := int64(n * m.Weight())
	t.bytes += w
	if m.Origin == OriginBroker {
		t.own += n
		t.ownBytes += w
	}
}

// unretain removes a topic's retained message and says whether there was one.
func (b *Broker) unretain(name string) bool {
	t := b.retained
	t.mu.Lock()
	defer t.mu.Unlock()
	old, existed := t.tree.Delete(name)
	if existed {
		t.leaveLocked(old)
	}
	return existed
}

// leaveLocked sees off what is no longer retained.
func (t *retainedStore) leaveLocked(x *retained) {
	x.gone.Store(true)
	t.countLocked(x.msg, -1)
	if x.at >= 0 {
		heap.Remove(&t.expiring, x.at)
	}
}

// armRetainedLocked sets the timer to the next expiry, at most once a second.
func (b *Broker) armRetainedLocked() {
	t := b.retained
	if len(t.expiring) == 0 || b.closing.Load() {
		return
	}
	wait := max(time.Until(time.Unix(0, t.expiring[0].msg.expiresAt)), time.Second)
	next := time.Now().Add(wait)
	if t.timer != nil {
		if !next.Before(t.next) {
			return
		}
		t.timer.Stop()
	}
	t.timer, t.next = time.AfterFunc(wait, b.expireRetained), next
}

// expireRetained removes the retained messages that have expired, some at a
// time.
func (b *Broker) expireRetained() {
	for b.expireSome() {
	}
}

// expireSlice is how many retained messages expire in one go: publishers of
// retained messages wait meanwhile.
const expireSlice = 256

// expireSome removes some of the retained messages that have expired; false,
// with the timer set to the next, if no more have.
func (b *Broker) expireSome() (more bool) {
	r := b.newRound()
	defer r.end()
	t := b.retained
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UnixNano()
	for range expireSlice {
		if len(t.expiring) == 0 || t.expiring[0].msg.expiresAt > now {
			break
		}
		x := t.expiring[0]
		t.tree.Delete(x.msg.Topic)
		t.leaveLocked(x)
		r.forgetRetained(x.msg.Topic)
		r.drop(x.msg, nil, CauseExpired)
	}
	if len(t.expiring) > 0 && t.expiring[0].msg.expiresAt <= now {
		return true
	}
	if t.timer != nil {
		t.timer.Stop() // another may have been set meanwhile
		t.timer = nil
	}
	b.armRetainedLocked()
	return false
}

// renew makes the changes of retained messages those that lead to what is
// retained now. Most are; only for the others their topic is looked for.
func (t *retainedStore) renew(batch *Batch) {
	for i := range batch.Ops {
		op := &batch.Ops[i]
		if op.entry != nil && !op.entry.gone.Load() {
			continue
		}
		name := op.Topic
		switch op.Kind {
		case PutRetained:
			name = op.Queued.Message.Topic
		case DeleteRetained:
		default:
			continue
		}
		*op = Op{Kind: DeleteRetained, Topic: name}
		if x, ok := t.tree.Get(name); ok && x.msg.Origin != OriginBroker {
			*op = Op{Kind: PutRetained, Queued: StoredMessage{Message: x.msg, ExpiresAt: x.msg.expiresAt}}
		}
	}
}

func (b *Broker) stopRetainedTimer() {
	b.retained.mu.Lock()
	defer b.retained.mu.Unlock()
	if b.retained.timer != nil {
		b.retained.timer.Stop()
	}
}

// expiryHeap orders retained messages by expiry (container/heap).
type expiryHeap []*retained

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].msg.expiresAt < h[j].msg.expiresAt }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *expiryHeap) Push(x any) {
	e := x.(*retained)
	e.at = len(*h)
	*h = append(*h, e)
}
func (h *expiryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.at = -1
	return e
}

// retainedCursor is a new subscription's way through the retained messages:
// they go out as the receiver's window allows, never all at once, never cut off.
type retainedCursor struct {
	sub    *subscription
	cursor *topic.Cursor[*retained]
	buf    []*retained
	next   *retainedCursor // after this one
}

// retainedSlice is how many retained messages are taken from the tree at once.
const retainedSlice = 32

func (b *Broker) newRetainedCursor(sub *subscription) *retainedCursor {
	return &retainedCursor{sub: sub, cursor: b.retained.tree.Cursor(sub.full)}
}

// addRetainedLocked puts cursors behind those under way; one for the same
// filter is replaced, so that their number is bounded by the subscriptions'.
func (s *session) addRetainedLocked(cursors []*retainedCursor) {
	for _, c := range cursors {
		if s.subs.get(c.sub.requested) != c.sub {
			continue // it has been unsubscribed or replaced meanwhile
		}
		s.cutRetainedLocked(func(sub *subscription) bool { return sub.requested == c.sub.requested })
		at := &s.retained
		for *at != nil {
			at = &(*at).next
		}
		*at = c
	}
}

// dropRetainedLocked forgets what is under way for a subscription that ended.
func (s *session) dropRetainedLocked(sub *subscription) {
	s.cutRetainedLocked(func(x *subscription) bool { return x == sub })
}

// cutRetainedLocked takes out the cursor of a subscription, if there is one.
func (s *session) cutRetainedLocked(is func(*subscription) bool) {
	for at := &s.retained; *at != nil; at = &(*at).next {
		if is((*at).sub) {
			*at = (*at).next
			return
		}
	}
}

// fillRetainedLocked moves the next slice of retained messages into the empty
// queues and says whether there may be something to send.
func (s *session) fillRetainedLocked(r *round, c *conn) bool {
	rc := s.retained
	if rc == nil || !c.out.hasRoom(retainedSlice*messageOverhead) || s.window.used >= int(c.windowOut) {
		return false
	}
	var done bool
	rc.buf, done = rc.cursor.Next(rc.buf[:0], retainedSlice)
	for _, x := range rc.buf {
		s.queueRetainedLocked(r, rc.sub, x.msg)
	}
	if done {
		s.retained = rc.next
	}
	return true
}

// queueRetainedLocked queues one retained message, sent with the retain flag
// [MQTT-3.3.1-8] whatever the subscription says.
func (s *session) queueRetainedLocked(r *round, sub *subscription, m *Message) {
	if sub.noLocal && m.isFrom(s) {
		return // [MQTT-3.8.3-3]
	}
	if !sub.sees(m.Topic) {
		return
	}
	q := queued{msg: m, sub: sub, ids: sub.ids(), qos: min(m.QoS, sub.qos), retain: true}
	s.seq++
	q.seq = s.seq
	if q.qos > 0 && s.keptLocked() {
		s.keepLocked(r, &q)
	}
	s.pushLocked(q)
}
