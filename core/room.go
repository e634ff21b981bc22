package core

// amount is how much some waiting messages are.
type amount struct {
	n     int
	bytes int // wherever they lie
	inRAM int // of these, in memory
}

// makeRoomLocked says whether one more message of a QoS and w bytes keeps the
// bounds. Where the option says so, the oldest of its queue are dropped for it.
// Those that lie in the store are read first, by the session's own goroutine:
// until then there may be twice as much as the session's bounds allow.
func (s *session) makeRoomLocked(r *round, qos byte, w int) bool {
	if s.fitsLocked(w, amount{}) {
		return true
	}
	list := s.queueFor(qos)
	all := amount{list.len(), list.bytes, list.bytes}
	if sp := s.spill; sp != nil && qos > 0 {
		all = amount{all.n + sp.n + sp.tail.len(), all.bytes + sp.bytes + sp.tail.bytes, all.inRAM + sp.tail.bytes}
	}
	if !s.b.o.DropOldest || !s.fitsLocked(w, all) {
		return false
	}
	for list.len() > 0 && !s.fitsLocked(w, amount{}) {
		s.dropFirstLocked(r, list)
	}
	if s.fitsLocked(w, amount{}) {
		return true
	}
	most, bytes := s.boundsLocked()
	if !s.fitsLocked(w, amount{n: most, bytes: bytes}) { // the store does not keep up, or memory is short
		return false
	}
	s.wakePagerLocked()
	return true
}

// dropFirstLocked drops the first message of a list because its queue is full.
func (s *session) dropFirstLocked(r *round, list *queue) {
	old, _ := s.popLocked(list)
	s.forgetLocked(r, &old)
	r.drop(old.msg, s.client, CauseQueueFull)
}

// fitsLocked says whether one more message of w bytes keeps the bounds, if
// some were freed. A session's own bounds count what waits for it wherever it
// lies; that of all clients together counts memory alone.
func (s *session) fitsLocked(w int, freed amount) bool {
	most, bytes := s.boundsLocked()
	now := s.amountLocked()
	return now.n-freed.n < most && now.bytes-freed.bytes+w <= bytes &&
		s.b.queuedBytes.Load()+int64(w-freed.inRAM) <= s.b.o.TotalQueued
}

// isOverLocked says that more waits than the session's bounds allow.
func (s *session) isOverLocked() bool {
	most, bytes := s.boundsLocked()
	now := s.amountLocked()
	return now.n > most || now.bytes > bytes
}

func (s *session) boundsLocked() (most, bytes int) {
	most = s.b.o.Queued
	if s.limits.Queued > 0 {
		most = s.limits.Queued
	}
	return most, s.b.o.QueuedBytes
}

// amountLocked is all that waits for the session.
func (s *session) amountLocked() amount {
	l := amount{n: s.queue0.len() + s.queue.len(), bytes: s.queue0.bytes + s.queue.bytes}
	if sp := s.spill; sp != nil {
		l.n += sp.n + sp.tail.len()
		l.bytes += sp.bytes + sp.tail.bytes
	}
	return l
}
