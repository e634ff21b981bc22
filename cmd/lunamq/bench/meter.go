package bench

import "sync/atomic"

// meter counts what has arrived, and wakes the publisher that waits for it.
type meter struct {
	got  atomic.Uint64
	need atomic.Uint64 // what the publisher waits for; 0: it does not

	// Immutable:
	wake chan struct{} // of the publisher, which has one for all its meters; room for 1
}

// add counts n more.
func (m *meter) add(n uint64) {
	got := m.got.Add(n)
	if need := m.need.Load(); need == 0 || got < need {
		return
	}
	m.need.Store(0)
	select {
	case m.wake <- struct{}{}:
	default: // it is awake, and looks again
	}
}

// wait returns when target is reached, or false when stop is closed before.
func (m *meter) wait(target uint64, stop <-chan struct{}) bool {
	for m.got.Load() < target {
		m.need.Store(target)
		if m.got.Load() >= target { // it came before need could be seen
			m.need.Store(0)
			return true
		}
		select {
		case <-m.wake: // for this, or left over from before: look again
		case <-stop:
			m.need.Store(0)
			return false
		}
	}
	return true
}
