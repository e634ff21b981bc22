package bench

// maxMissing bounds how many missing numbers a stream remembers, to tell late
// ones from duplicates; further ones are lost for good.
const maxMissing = 1 << 20

// stream is what one subscriber gets from one publisher: messages numbered from
// 0 without gaps. Owned by the subscriber's reader.
type stream struct {
	meter *meter // counts what came, each number once

	next       uint64 // the number after the largest that came
	missing    map[uint64]struct{}
	forgotten  uint64 // missing, not in the map
	duplicated uint64
	reordered  uint64
	fresh      uint64 // came since the meter was told
}

// take judges a number; false means that it came before.
func (s *stream) take(number uint64) bool {
	if number == s.next {
		s.next++
		return true
	}
	return s.takeOdd(number)
}

// takeOdd judges a number that is not the next.
func (s *stream) takeOdd(number uint64) bool {
	if number > s.next {
		s.miss(s.next, number)
		s.next = number + 1
		return true
	}
	if _, ok := s.missing[number]; ok {
		delete(s.missing, number)
		s.reordered++
		return true
	}
	s.duplicated++
	return false
}

func (s *stream) miss(from, to uint64) {
	if s.missing == nil {
		s.missing = make(map[uint64]struct{})
	}
	for ; from < to && len(s.missing) < maxMissing; from++ {
		s.missing[from] = struct{}{}
	}
	s.forgotten += to - from
}

// received is how many different numbers came.
func (s *stream) received() uint64 { return s.next - uint64(len(s.missing)) - s.forgotten }
