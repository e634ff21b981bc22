package core

import (
	"slices"
	"testing"
)

// TestAct: effects happen in order once the act is done; of one that failed or
// panicked those with always; messages are bounded as those of an event.
func TestAct(t *testing.T) {
	o := wireOptions()
	o.MessagesPerEvent = 3
	bubble(t, o, func(s *stage) {
		a := s.subscriber("clean id=a", "#")
		act := func(text string, end func() bool) {
			s.b.Act(func(turn *Turn) bool {
				turn.After(false, func() { _ = s.b.Publish(turn, Message{Topic: text, Origin: OriginScript}, false) })
				turn.After(true, func() { _ = s.b.Publish(turn, Message{Topic: "always", Origin: OriginScript}, false) })
				return end()
			})
		}
		act("done", func() bool { return true })
		a.expect("PUBLISH topic=done", "PUBLISH topic=always")
		act("failed", func() bool { return false })
		a.expect("PUBLISH topic=always")
		act("panicked", func() bool { panic("act") })
		a.expect("PUBLISH topic=always")
		if n := s.b.metrics.HookPanics.Load(); n != 1 {
			t.Errorf("%d panics are counted", n)
		}
		var errs []error
		s.b.Act(func(turn *Turn) bool {
			for range 4 {
				turn.After(false, func() {
					errs = append(errs, s.b.Publish(turn, Message{Topic: "many", Origin: OriginScript}, false))
				})
			}
			return true
		})
		if !slices.Equal(errs, []error{nil, nil, nil, ErrTooManyMessages}) {
			t.Errorf("published: %v", errs)
		}
	})
}
