package core

import "slices"

// idSet is a set of packet identifiers: a short list, and from 32 members on a
// bitmap of 8 KiB, so that a client that never sends PUBREL costs no more.
type idSet struct {
	few  []uint16
	bits *[1 << 10]uint64
	n    int
}

// ownReceivedLocked returns the session's set, made if there is none.
func (s *session) ownReceivedLocked() *idSet {
	if s.received == nil {
		s.received = new(idSet)
	}
	return s.received
}

// len is the number of members; a nil set has none.
func (s *idSet) len() int {
	if s == nil {
		return 0
	}
	return s.n
}

func (s *idSet) has(id uint16) bool {
	if s == nil {
		return false
	}
	if s.bits != nil {
		return s.bits[id>>6]&(1<<(id&63)) != 0
	}
	return slices.Contains(s.few, id)
}

// add puts a new member in.
func (s *idSet) add(id uint16) {
	if s.has(id) {
		return
	}
	s.n++
	if s.bits == nil && len(s.few) < 32 {
		s.few = append(s.few, id)
		return
	}
	if s.bits == nil {
		s.bits = new([1 << 10]uint64)
		for _, x := range s.few {
			s.bits[x>>6] |= 1 << (x & 63)
		}
		s.few = nil
	}
	s.bits[id>>6] |= 1 << (id & 63)
}

// remove takes a member out and says whether it was one.
func (s *idSet) remove(id uint16) bool {
	if !s.has(id) {
		return false
	}
	s.n--
	if s.bits == nil {
		i := slices.Index(s.few, id)
		s.few[i] = s.few[len(s.few)-1]
		s.few = s.few[:len(s.few)-1]
		return true
	}
	s.bits[id>>6] &^= 1 << (id & 63)
	if s.n == 0 {
		s.bits = nil
	}
	return true
}
