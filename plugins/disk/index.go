package disk

import (
	"sync"

	"lunamq/core"
)

// index is what the store has in memory of each session: its number.
type index struct {
	mu sync.Mutex
	// Guarded by mu; changed by the commit goroutine alone:
	byName map[string]sessionEntry

	// Owned by the commit goroutine:
	next     uint64 // the number of the next session
	reserved uint64 // up to here numbers are given away on the disk
}

// sessionEntry is small: there may be a million.
type sessionEntry struct {
	id    uint64
	life  uint32 // core.Op has the rule; 0: what was loaded
	apart bool   // there may be payloads with records of their own
}

// isOf says whether an operation is on the session that is there.
func (e *sessionEntry) isOf(op *core.Op) bool { return e.life == 0 || e.life == op.Life }

// reserveIDs is how many numbers are given away on the disk at once: one more
// record for so many sessions, and so many numbers lost by a kill.
const reserveIDs = 1024

func newIndex() *index { return &index{byName: make(map[string]sessionEntry), next: 1} }

func (x *index) get(name string) (sessionEntry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.byName[name]
	return e, ok
}

func (x *index) put(name string, e sessionEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byName[name] = e
}

func (x *index) remove(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byName, name)
}

// live takes over the lives of what is still the same: the store is opened anew
// while the broker runs.
func (x *index) live(before *index) {
	before.mu.Lock()
	defer before.mu.Unlock()
	for name, e := range x.byName {
		if old, ok := before.byName[name]; ok && old.id == e.id {
			e.life = old.life
			x.byName[name] = e
		}
	}
}

// backlogs sum up, by session, what waits; they are needed until Load.
type backlogs map[uint64]*core.StoredBacklog

func (b backlogs) add(id, seq uint64, weight int64) {
	s := b[id]
	if s == nil {
		s = &core.StoredBacklog{First: seq}
		b[id] = s
	}
	s.Count++
	s.Bytes += weight
	s.Last = seq
}
