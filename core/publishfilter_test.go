package core

import (
	"testing"
	"testing/synctest"
)

// pickyHook wants one topic.
type pickyHook struct {
	wants string
	asked int
}

func (h *pickyHook) WantsPublish(topic string) bool { return topic == h.wants }

func (h *pickyHook) OnPublish(*PublishEvent) Decision {
	h.asked++
	return Decision{Verdict: Drop}
}

// TestPublishFilter: a topic that no hook wants is put to none, and another set
// of hooks is asked anew what it wants.
func TestPublishFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &pickyHook{wants: "a"}, &pickyHook{wants: "b"}
		s := newStage(t, wireOptions(), a)
		defer s.end()
		sub := s.subscriber("clean id=s", "#")
		p := s.connect("clean id=p")
		for range 3 {
			p.send("PUBLISH topic=a payload=x")
			p.send("PUBLISH topic=b payload=x")
		}
		synctest.Wait()
		if a.asked != 3 {
			t.Errorf("a was asked %d times, want 3", a.asked)
		}
		sub.expect("PUBLISH topic=b payload=x", "PUBLISH topic=b payload=x", "PUBLISH topic=b payload=x")
		if err := s.b.Register("test", b); err != nil {
			t.Fatal(err)
		}
		if err := s.b.Register("other"); err != nil {
			t.Fatal(err)
		}
		p.send("PUBLISH topic=b payload=y")
		p.send("PUBLISH topic=c payload=y")
		synctest.Wait()
		if b.asked != 1 {
			t.Errorf("b was asked %d times, want 1", b.asked)
		}
		sub.expect("PUBLISH topic=c payload=y")
	})
}

// BenchmarkUnwantedPublish: what rules cost a message whose topic none of them
// wants, and that no rule is there. Under 10 ns, without an allocation: the
// connection remembers of a topic whether it is wanted.
func BenchmarkUnwantedPublish(b *testing.B) {
	for _, c := range []struct {
		name  string
		hooks []any
	}{{"no rule", nil}, {"not wanted", []any{refusingFilter{}}}} {
		b.Run(c.name, func(b *testing.B) {
			br, err := New(wireOptions())
			if err != nil {
				b.Fatal(err)
			}
			defer br.Close()
			if err := br.Register("test", c.hooks...); err != nil {
				b.Fatal(err)
			}
			cn, r := &conn{client: new(Client)}, br.newRound()
			defer r.end()
			rt := cn.routeOf(r, "other/1")
			b.ReportAllocs()
			for b.Loop() {
				if rt.isJudged(br, br.hooks.Load()) {
					b.Fatal("somebody has a say")
				}
			}
		})
	}
}

// refusingFilter wants no topic, and refuses all it is asked for.
type refusingFilter struct{}

func (refusingFilter) WantsPublish(string) bool         { return false }
func (refusingFilter) OnPublish(*PublishEvent) Decision { return Decision{Verdict: Deny} }
