package core

import "strings"

// With a durable store, messages that wait are held in memory within a small
// window for a client that is connected, and none for one that is not. What is
// beyond it, and kept, lies in the store alone. So the QoS 1 and 2 messages
// that wait for a session are, in order:
//
//	session.queue      in memory: those that can go next
//	spill              in the store: only counted here
//	spill.tail         in memory: behind those; the first is not kept yet
//
// Without a spill all of them are in session.queue. How they come back is in page.go.
const (
	// The window, and how much one read of the store brings: four times what a
	// client with the least inflight of common libraries (20) takes at once, and
	// with small messages one disk block or a few.
	pageMessages = 100
	pageBytes    = 64 << 10
	// What is read to drop the oldest: it stays in memory until it is dropped.
	trimMessages = 16
	trimBytes    = 8 << 10
)

// spill is what of a session's messages lies in the store alone. It is guarded
// by session.mu.
type spill struct {
	n      int
	bytes  int    // the sum of Weight
	first  uint64 // none has a lower seq
	last   uint64 // none has a higher one
	shared int    // at most so many came by shared subscriptions
	tail   queue

	sieve  map[string]*group // shared subscriptions, as requested, whose messages are for others
	at     uint64            // where the sieve goes on
	paging bool              // a goroutine reads the store
	ending *ending           // the session has ended
}

// put counts a message that lies in the store from now on.
func (sp *spill) put(q *queued) {
	if sp.first == 0 || q.seq < sp.first {
		sp.first = q.seq
	}
	sp.last = max(sp.last, q.seq)
	sp.add(q, 1)
}

// add counts a message n times (1, or -1 for one that is there no more).
func (sp *spill) add(q *queued, n int) {
	sp.n += n
	sp.bytes += n * q.msg.Weight()
	if isShared(q.sub.requested) {
		sp.shared += n
	}
	sp.shared = min(max(sp.shared, 0), max(sp.n, 0))
}

func isShared(requested string) bool { return strings.HasPrefix(requested, "$share/") }

// waitingLocked is how many QoS 1 and 2 messages wait, wherever they lie.
func (s *session) waitingLocked() int {
	if sp := s.spill; sp != nil {
		return s.queue.len() + sp.n + sp.tail.len()
	}
	return s.queue.len()
}

// isKept says that the store has the message, and that it may lie there alone.
func (q *queued) isKept() bool { return q.stored && !q.held.waits() }

// spillLocked gives up the memory of what is kept and beyond the window.
func (s *session) spillLocked() {
	if !s.b.durable || s.gone || s.spill == nil && !s.splitLocked() {
		return
	}
	for tail := &s.spill.tail; tail.len() > 0 && tail.first().isKept(); {
		q, _ := tail.pop()
		s.spill.put(&q)
		s.spilledLocked(&q, 1)
	}
}

// splitLocked makes the spill of a session that has none: what is in the
// window stays before it, what is not kept yet is behind it. It is false if
// nothing can be spilled.
func (s *session) splitLocked() bool {
	window, first := s.windowLocked(), (*queued)(nil)
	if window < s.queue.len() {
		first = s.queue.at(window)
	}
	if first == nil || !first.isKept() {
		return false
	}
	s.spill = new(spill)
	var before queue
	for range window {
		q, _ := s.queue.pop()
		before.push(q)
	}
	s.spill.tail, s.queue = s.queue, before
	return true
}

// windowLocked is how many of the messages in memory may stay there.
func (s *session) windowLocked() (n int) {
	if s.conn.Load() == nil {
		return 0
	}
	for bytes := 0; n < min(pageMessages, s.queue.len()) && bytes < pageBytes; n++ {
		bytes += s.queue.at(n).msg.Weight()
	}
	return n
}

// unpageLocked gives back what was read for a client that has gone.
func (s *session) unpageLocked() {
	if !s.b.durable {
		return
	}
	if s.spill != nil {
		for s.queue.len() > 0 && s.queue.at(s.queue.len()-1).isKept() {
			q := s.queue.popBack()
			s.spill.put(&q)
			s.spilledLocked(&q, 1)
		}
	}
	s.spillLocked()
}

// spilledLocked moves n messages like q (1, or -1 back) out of the count of the
// bytes in memory.
func (s *session) spilledLocked(q *queued, n int) {
	w := int64(n * q.msg.Weight())
	s.b.queuedBytes.Add(-w)
	s.b.spilledBytes.Add(w)
}

// unspillLocked ends a spill of which nothing is left in the store; lost are
// those that should have been there.
func (s *session) unspillLocked() (lost int) {
	sp := s.spill
	lost = sp.n
	s.b.spilledBytes.Add(-int64(sp.bytes))
	s.b.queuedCount.Add(-int64(lost))
	for s.queue.len() > 0 {
		sp.tail.pushFront(s.queue.popBack())
	}
	s.queue, s.spill = sp.tail, nil
	s.waits.Store(s.waitingLocked() > 0)
	return lost
}

// removeLocked notes that messages were taken out from between others: until
// the store has their end, a page may still bring them.
func (s *session) removeLocked(list []queued) {
	if !s.b.durable || len(list) == 0 {
		return
	}
	if s.removed == nil {
		s.removed = make(map[uint64]struct{})
	}
	for i := range list {
		s.removed[list[i].seq] = struct{}{}
	}
	s.passRemovedLocked()
}

// passRemovedLocked forgets removed messages that no page can bring any more:
// those before the first that waits.
func (s *session) passRemovedLocked() {
	if len(s.removed) == 0 {
		return
	}
	first := s.seq + 1
	switch {
	case s.queue.len() > 0:
		first = s.queue.first().seq
	case s.spill != nil:
		first = s.spill.first
	}
	for seq := range s.removed {
		if seq < first {
			delete(s.removed, seq)
		}
	}
	if len(s.removed) == 0 {
		s.removed = nil
	}
}

// takeLocked takes matching messages out of memory.
func (s *session) takeLocked(want func(*queued) bool) (taken []queued) {
	taken = s.takeFirstLocked(want)
	if s.spill != nil {
		taken = append(taken, s.takeFromLocked(&s.spill.tail, want)...)
	}
	return taken
}

// takeFirstLocked takes them but for those behind what lies in the store.
func (s *session) takeFirstLocked(want func(*queued) bool) []queued {
	taken := append(s.takeFromLocked(&s.queue0, want), s.takeFromLocked(&s.queue, want)...)
	s.passHeld0Locked()
	return taken
}

func (s *session) takeFromLocked(list *queue, want func(*queued) bool) []queued {
	before, n := list.bytes, list.len()
	taken := list.take(want)
	s.countLocked(list.bytes-before, list.len()-n)
	return taken
}
