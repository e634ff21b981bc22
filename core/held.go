package core

import "sync"

// held is the messages that wait in queues for the batch that stores them: none
// leaves before it is kept, so that what was sent is never unknown after a
// restart, and a message's end is never stored before its beginning.
type held struct {
	mu       sync.Mutex
	kept     bool       // or refused: nothing waits any more
	sessions []*session // whose queues hold messages of the batch
	given    []Op       // ends of messages that were given up while they waited
}

// holdFor makes the next message of s wait for the batch of this round.
func (r *round) holdFor(s *session) *held {
	if r.held == nil {
		r.held = new(held)
	}
	h := r.held
	if n := len(h.sessions); n == 0 || h.sessions[n-1] != s {
		h.sessions = append(h.sessions, s)
	}
	return h
}

// waits says whether the message may not leave yet.
func (h *held) waits() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.kept
}

// giveUp leaves op, the end of a message that waits, to when the batch is kept;
// false if it is already.
func (h *held) giveUp(op Op) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept {
		return false
	}
	h.given = append(h.given, op)
	return true
}

// release lets the messages of a batch go that is kept, or takes them back if
// it could not be. The caller holds no lock.
func (h *held) release(r *round, err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.kept = true
	sessions, given := h.sessions, h.given
	h.sessions, h.given = nil, nil
	h.mu.Unlock()
	if err == nil {
		r.batch.Ops = append(r.batch.Ops, given...)
	}
	for _, s := range sessions {
		s.mu.Lock()
		if err != nil {
			for _, q := range s.takeLocked(func(q *queued) bool { return q.held == h }) {
				r.drop(q.msg, s.client, CauseStore)
			}
		}
		s.pumpLocked(r)
		s.spillLocked()
		s.mu.Unlock()
	}
}
