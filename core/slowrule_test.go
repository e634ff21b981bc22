package core

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowRulesHoldBackNothing: of several messages in one read, the first is
// delivered while rules still look at the third.
func TestSlowRulesHoldBackNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		asked := 0
		s := newStage(t, wireOptions(), publishFunc(func(*PublishEvent) Decision {
			if asked++; asked == 3 {
				<-release
			}
			time.Sleep(2 * flushAfter)
			return Decision{}
		}))
		defer s.end()
		sub := s.subscriber("clean id=s", "#")
		p := s.connect("clean id=p")
		var batch []byte
		for _, line := range []string{"PUBLISH topic=a payload=1", "PUBLISH topic=a payload=2", "PUBLISH topic=a payload=3"} {
			b, _, err := encodeLine(line, p.version)
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, b...)
		}
		if _, err := p.net.Write(batch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * flushAfter)
		sub.expect("PUBLISH topic=a payload=1", "PUBLISH topic=a payload=2")
		close(release)
		time.Sleep(10 * flushAfter)
		sub.expect("PUBLISH topic=a payload=3")
	})
}
