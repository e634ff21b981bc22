package core

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDropped: hooks are told who lost what and why, and what they publish in
// answer raises no further event.
func TestDropped(t *testing.T) {
	var mu sync.Mutex
	var told []string
	var b *Broker
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.Queued = 1
		s := newStage(t, o, droppedFunc(func(ev *DroppedEvent) {
			mu.Lock()
			defer mu.Unlock()
			receiver := "-"
			if ev.Client != nil {
				receiver = ev.Client.ID
			}
			told = append(told, fmt.Sprintf("%s %s %s %s", ev.Cause, ev.Publisher.ID, receiver, ev.Message.Topic))
			ev.After(false, func() {
				_ = b.Publish(&ev.Turn, Message{Topic: "nobody/listens", Origin: OriginScript}, true)
			})
		}))
		b = s.b
		a := s.subscriber("id=a expiry=100", "t:q1")
		a.drop()
		c := s.subscriber("clean id=c maxpacket=20", "large")
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=1 q=1 id=1 msgexpiry=1")
		p.send("PUBLISH topic=t payload=2 q=1 id=2")
		p.send("PUBLISH topic=t payload=3")
		p.send("PUBLISH topic=large payload=01234567890123456789")
		p.send("PUBLISH topic=alone payload=4")
		p.packets()
		want := []string{"queue_full p a t", "offline_qos0 p a t", "too_large p c large", "no_subscriber p - alone"}
		mu.Lock()
		if !slices.Equal(told, want) {
			t.Errorf("told %q\nwant %q", told, want)
		}
		mu.Unlock()
		if n := s.b.metrics.Dropped.Get(CauseNoSubscriber); n != 1+int64(len(want)) {
			t.Errorf("%d messages without a subscriber are counted", n)
		}
		c.expect()
		s.end()
	})
}

// TestEffectsAfter: what hooks queue happens in order once the event is decided,
// and is discarded with a refusal unless it is meant always.
func TestEffectsAfter(t *testing.T) {
	var b *Broker
	say := func(t *Turn, topic string) func() {
		return func() { _ = b.Publish(t, Message{Topic: topic, Origin: OriginScript}, false) }
	}
	verdicts := map[string]Verdict{"pass": Pass, "allow": Allow, "drop": Drop, "deny": Deny, "panic": Deny}
	queue := func(turn *Turn, name string) Decision {
		turn.After(false, say(turn, "said/1"))
		turn.After(true, say(turn, "said/2"))
		turn.After(false, func() { panic("an effect") })
		turn.After(false, say(turn, "said/3"))
		if name == "panic" {
			panic(name)
		}
		return Decision{Verdict: verdicts[name]}
	}
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions(),
			publishFunc(func(ev *PublishEvent) Decision { return queue(&ev.Turn, ev.Message.Topic) }),
			subscribeFunc(func(ev *SubscribeEvent) Decision {
				if ev.Filter == "said/#" {
					return Decision{}
				}
				return queue(&ev.Turn, ev.Filter)
			}))
		b = s.b
		listener := s.subscriber("clean id=l", "said/#")
		p := s.connect("clean id=p")
		all := []string{"PUBLISH topic=said/1", "PUBLISH topic=said/2", "PUBLISH topic=said/3"}
		for name := range verdicts {
			want := all
			if verdicts[name] == Deny {
				want = all[1:2]
			}
			p.send("PUBLISH topic=" + name)
			listener.expect(want...)
			if name != "drop" { // no verdict on a subscription
				p.send("SUBSCRIBE id=1 f=" + name)
				listener.expect(want...)
			}
		}
		p.packets()
		s.end()
	})
}

// TestMessagesPerEvent: rules that answer messages with messages stop at the
// bound.
func TestMessagesPerEvent(t *testing.T) {
	var b *Broker
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.MessagesPerEvent = 10
		asked := 0
		s := newStage(t, o, publishFunc(func(ev *PublishEvent) Decision {
			asked++
			for range 2 { // doubles with every step
				ev.After(false, func() {
					_ = b.Publish(&ev.Turn, Message{Topic: "t", Payload: []byte{1}, Origin: OriginScript}, true)
				})
			}
			return Decision{}
		}))
		b = s.b
		p := s.subscriber("clean id=p", "t")
		p.send("PUBLISH topic=t payload=0")
		if got := p.packets(); len(got) != 11 {
			t.Errorf("%d messages, want 1 and 10 made by rules", len(got))
		}
		if asked != 11 || s.b.metrics.ScriptMessagesRefused.Load() == 0 {
			t.Errorf("asked %d times, %d refused", asked, s.b.metrics.ScriptMessagesRefused.Load())
		}
		s.end()
	})
}

// TestPublishFromOutside: what others publish is validated, kept and judged as
// asked for.
func TestPublishFromOutside(t *testing.T) {
	var seen []string
	bubble(t, wireOptions(), func(s *stage) {
		p := s.subscriber("clean id=p", "#:q1")
		if err := s.b.Publish(nil, Message{Topic: "a/+"}, false); err == nil {
			t.Error("a wildcard was published")
		}
		payload := []byte("x")
		for _, m := range []Message{
			{Topic: "script", Payload: payload, QoS: 1, Origin: OriginScript},
			{Topic: "admin", Payload: payload, Retain: true, Origin: OriginAdmin},
			{Topic: "client", Payload: payload},
			{Topic: "denied", Payload: payload, Origin: OriginBridge},
		} {
			if err := s.b.Publish(nil, m, true); err != nil {
				t.Error(err)
			}
		}
		payload[0] = 'y'
		p.expect("PUBLISH topic=script payload=x q=1 id=1", "PUBLISH topic=admin payload=x", "PUBLISH topic=client payload=x")
		p.send("SUBSCRIBE id=1 f=admin")
		p.expect("SUBACK id=1 codes=0", "PUBLISH topic=admin payload=x retain")
		want := []string{"$script script", "$admin admin", "$admin client", "$bridge denied"}
		if !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	}, publishFunc(func(ev *PublishEvent) Decision {
		seen = append(seen, ev.Client.ID+" "+ev.Message.Topic)
		if ev.Message.Topic == "denied" {
			return Decision{Verdict: Deny}
		}
		return Decision{}
	}))
}

// TestToldEventsAreStored: what a told event's hook publishes is kept by the
// store though nobody waits for it.
func TestToldEventsAreStored(t *testing.T) {
	var b *Broker
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.Store = NewMemoryStore()
		s := newStage(t, o, subscribedFunc(func(ev *SubscriptionEvent) {
			_ = b.Publish(&ev.Turn, Message{Topic: "last", Payload: []byte(ev.Filter), Retain: true, Origin: OriginScript}, false)
		}))
		b = s.b
		s.subscriber("clean id=p", "t")
		s.end()
		s = newStage(t, o)
		p := s.connect("clean id=p")
		p.send("SUBSCRIBE id=1 f=last")
		p.expect("SUBACK id=1 codes=0", "PUBLISH topic=last payload=t retain")
		s.end()
	})
}

// TestHookPanic: a panic refuses, is counted, and the broker goes on.
func TestHookPanic(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=x q=1 id=1")
		p.send("SUBSCRIBE id=2 f=t")
		p.send("UNSUBSCRIBE id=3 f=t")
		p.expect("PUBACK id=1 code=0x80", "SUBACK id=2 codes=0x80", "UNSUBACK id=3 codes=0x80")
		if n := s.b.metrics.HookPanics.Load(); n != 3 {
			t.Errorf("%d panics counted", n)
		}
	}, publishFunc(func(*PublishEvent) Decision { panic("publish") }),
		subscribeFunc(func(*SubscribeEvent) Decision { panic("subscribe") }),
		unsubscribeFunc(func(*UnsubscribeEvent) Decision { panic("unsubscribe") }))
}

// wantsPanic panics when it is asked what it wants.
type wantsPanic struct{}

func (wantsPanic) WantsPublish(topic string) bool      { panic("wants " + topic) }
func (wantsPanic) OnPublish(*PublishEvent) Decision    { return Decision{} }
func (wantsPanic) WantsDeliver(topic string) bool      { panic("wants " + topic) }
func (wantsPanic) OnDeliver(ev *DeliverEvent) Decision { return Decision{} }

// TestWantsPanic: a hook that panics when it is asked what it wants refuses the
// delivery, on whose behalf it comes, and locks nobody out.
func TestWantsPanic(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("clean id=a", "#:q1")
		p := s.connect("clean id=p will=t:bye:q1")
		p.send("PUBLISH topic=t payload=0")
		p.send("PUBLISH topic=t payload=1 q=1 id=1")
		p.expect("PUBACK id=1")
		time.Sleep(time.Second)
		p.drop() // its will is asked about by nobody's connection
		a.send("PUBLISH topic=t payload=2 q=1 id=2")
		a.expect("PUBACK id=2")
		s.wantDrops(map[Cause]int64{CauseScript: 4})
		if n := s.b.metrics.HookPanics.Load(); n == 0 {
			t.Error("no panic was counted")
		}
	}, wantsPanic{})
}

// TestAcknowledgedAfterCommit: what a rule queues does not let the
// acknowledgement of its message overtake the commit.
func TestAcknowledgedAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := newHeldStage(t)
		defer s.end()
		if err := s.b.Register("test", publishFunc(func(ev *PublishEvent) Decision {
			ev.After(false, func() {
				_ = s.b.Publish(&ev.Turn, Message{Topic: "said", Origin: OriginScript}, false)
			})
			return Decision{}
		})); err != nil {
			t.Fatal(err)
		}
		listener := s.subscriber("clean id=l", "said")
		p := s.connect("clean id=a")
		h.hold(true)
		p.send("PUBLISH topic=kept q=1 id=1")
		p.send("PUBLISH topic=kept q=1 id=2")
		p.expect()
		listener.expect("PUBLISH topic=said", "PUBLISH topic=said")
		h.let(t, 0, -2)
		p.expect("PUBACK id=1", "PUBACK id=2 code=0x97")
		h.hold(false)
	})
}

// TestRegister: hooks are replaced all at once, in their place; what has no
// hook method is refused and changes nothing.
func TestRegister(t *testing.T) {
	b, err := New(wireOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var order []string
	hook := func(name string) any {
		return publishFunc(func(*PublishEvent) Decision { order = append(order, name); return Decision{} })
	}
	register := func(owner string, hooks ...any) {
		t.Helper()
		if err := b.Register(owner, hooks...); err != nil {
			t.Fatal(err)
		}
	}
	register("one", hook("1"), hook("2"))
	register("two", hook("3"))
	register("one", hook("4"))
	if err := b.Register("three", struct{}{}); err == nil {
		t.Error("a value without hook methods was registered")
	}
	if err := b.Publish(nil, Message{Topic: "t"}, true); err != nil {
		t.Error(err)
	}
	register("one")
	if err := b.Publish(nil, Message{Topic: "t"}, true); err != nil {
		t.Error(err)
	}
	if want := []string{"4", "3", "3"}; !slices.Equal(order, want) {
		t.Errorf("asked %v, want %v", order, want)
	}
}
