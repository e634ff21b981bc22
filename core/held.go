package core

import (
	"sync"

	"lunamq/core/packet"
)

// held is the messages that wait in queues for the batch that stores them: none
// leaves before it is kept, so that what was sent is never unknown after a
// restart, and a message's end is never stored before its beginning.
type held struct {
	mu       sync.Mutex
	kept     bool          // or refused: nothing waits any more
	err      error         // why it was refused
	sessions []*session    // whose queues hold messages of the batch
	given    []Op          // ends of messages that were given up while they waited
	again    []*completion // answers to what came once more while the first waited
}

// holdFor makes the next message of s wait for the batch of this round.
func (r *round) holdFor(s *session) *held { return holdFor(&r.held, s) }

func holdFor(at **held, s *session) *held {
	if *at == nil {
		*at = new(held)
	}
	h := *at
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

// join makes an answer wait for the batch; if that is decided, it says how.
func (h *held) join(k *completion) (decided bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.kept {
		h.again = append(h.again, k)
	}
	return h.kept, h.err
}

// release lets the messages of a batch go that is kept, or takes them back if
// it could not be. The caller holds no lock.
func (h *held) release(r *round, err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.kept, h.err = true, err
	sessions, given, again := h.sessions, h.given, h.again
	h.sessions, h.given, h.again = nil, nil, nil
	h.mu.Unlock()
	for _, k := range again {
		k.Committed(err)
	}
	if err == nil {
		r.batch.Ops = append(r.batch.Ops, given...)
	}
	for _, s := range sessions {
		s.mu.Lock()
		if err == nil || s.refusedLocked(r, h, err) {
			s.pumpLocked(r)
			s.spillLocked()
		}
		s.mu.Unlock()
	}
}

// refusedLocked takes back what could not be stored. Messages are lost. A
// client that should be sent one whose identifier is not kept comes for it
// again: not ok.
func (s *session) refusedLocked(r *round, h *held, err error) (ok bool) {
	for _, q := range s.takeLocked(func(q *queued) bool { return q.held == h }) {
		r.drop(q.msg, s.client, CauseStore)
	}
	ok = true
	for i := 0; i < len(s.window.slots); i++ { // landing the last one gives the slots back
		switch f := &s.window.slots[i]; {
		case f.held != h:
		case f.state == flightPubcomp: // its connection is ended; the next sends the message again
			f.state = flightPubrec
		case !f.fresh:
		case f.whole:
			msg := f.msg
			s.landLocked(uint16(i + 1))
			r.drop(msg, s.client, CauseStore)
		default:
			f.lost, ok = true, false
		}
	}
	if c := s.owner; !ok && c != nil {
		go c.stop(stop{reason: packet.ImplementationSpecificError, text: "a message could not be sent: " + err.Error(), by: ByBroker})
	}
	return ok
}
