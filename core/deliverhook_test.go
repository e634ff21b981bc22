package core

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"lunamq/core/packet"
)

// TestDeliverVerdicts: a deliver hook changes, drops and disconnects for its
// receiver alone.
func TestDeliverVerdicts(t *testing.T) {
	hook := deliverFunc(func(ev *DeliverEvent) Decision {
		m := ev.Message
		switch {
		case ev.Client.ID == "b":
			return Decision{}
		case m.Topic == "drop":
			return Decision{Verdict: Drop}
		case m.Topic == "deny":
			return Decision{Verdict: Deny}
		case m.Topic == "out":
			return Decision{Verdict: Disconnect, Reason: packet.AdministrativeAction, Text: "out"}
		case m.Topic == "change":
			m.Topic, m.Payload, m.QoS, m.Retain = "changed", []byte(ev.Filter), 1, true
			m.HasExpiry, m.Expiry = true, 9
		case m.Topic == "up":
			m.QoS = 2
		case m.Topic == "bad":
			m.Topic = "bad/#"
		}
		return Decision{}
	})
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("id=a expiry=100", "#:q2")
		b := s.subscriber("v311 clean id=b", "+:q2")
		for i, topic := range []string{"drop", "deny", "change", "up", "bad", "plain"} {
			b.send(fmt.Sprintf("PUBLISH topic=%s payload=x q=1 id=%d", topic, i+1))
			b.packets()
			b.send("PUBACK id=1")
		}
		changed := "PUBLISH topic=changed payload=# q=1 id=1 retain msgexpiry=9"
		a.expect(changed, "PUBLISH topic=up payload=x q=1 id=2", "PUBLISH topic=bad payload=x q=1 id=3", "PUBLISH topic=plain payload=x q=1 id=4")
		s.wantDrops(map[Cause]int64{CauseScript: 2})
		// the result is what is kept in flight and resent
		a.drop()
		a = s.resume("id=a expiry=100", "PUBLISH topic=changed payload=# q=1 id=1 retain dup msgexpiry=9",
			"PUBLISH topic=up payload=x q=1 id=2 dup", "PUBLISH topic=bad payload=x q=1 id=3 dup", "PUBLISH topic=plain payload=x q=1 id=4 dup")
		b.send("PUBLISH topic=out payload=x q=1 id=9")
		a.expect("DISCONNECT code=0x98 reason=out")
		b.expect("PUBACK id=9", "PUBLISH topic=out payload=x q=1 id=1")
	}, hook)
}

// TestDeliverHolds: a hook that waits holds up its receiver alone; messages that a deliver hook wants and those that none
// wants keep their order, whatever their QoS [MQTT-4.6.0-6].
func TestDeliverHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		hook := deliverFunc(func(ev *DeliverEvent) Decision {
			if ev.Client.ID == "slow" {
				<-held
			}
			return Decision{}
		})
		s := newStage(t, wireOptions(), hook)
		slow := s.subscriber("clean id=slow", "#:q1")
		other := s.subscriber("clean id=other", "#:q1")
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=1")
		p.send("PUBLISH topic=plain payload=2")
		p.send("PUBLISH topic=t payload=3 q=1 id=3")
		p.expect("PUBACK id=3") // the publisher does not wait
		other.expect("PUBLISH topic=t payload=1", "PUBLISH topic=plain payload=2", "PUBLISH topic=t payload=3 q=1 id=1")
		slow.expect() // its own messages do
		slow.send("PINGREQ")
		slow.expect("PINGRESP") // but nothing else of it
		close(held)
		slow.expect("PUBLISH topic=t payload=1", "PUBLISH topic=plain payload=2", "PUBLISH topic=t payload=3 q=1 id=1")
		s.end()
	})
}

// TestDeliverDropsAreTold: what a deliver hook drops is told, and stored, before
// the queue has run empty.
func TestDeliverDropsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		told := make(chan string, 9)
		memory := NewMemoryStore()
		o := wireOptions()
		o.Store = memory
		s := newStage(t, o, deliverFunc(func(ev *DeliverEvent) Decision {
			if string(ev.Message.Payload) == "2" {
				<-held
			}
			return Decision{Verdict: Drop}
		}), droppedFunc(func(ev *DroppedEvent) { told <- string(ev.Message.Payload) }))
		defer s.end()
		defer close(held)
		a := s.subscriber("id=a expiry=100", "t:q1")
		a.drop()
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=1 q=1 id=1")
		p.send("PUBLISH topic=t payload=2 q=1 id=2")
		p.packets()
		s.resume("id=a expiry=100")
		synctest.Wait()
		select {
		case got := <-told:
			if got != "1" {
				t.Errorf("told of %s", got)
			}
		default:
			t.Error("nothing is told while the hook waits")
		}
		memory.mu.Lock()
		defer memory.mu.Unlock()
		if n := len(memory.sessions["\x00a"].messages); n != 1 {
			t.Errorf("%d messages are stored, want the second", n)
		}
	})
}

// TestDeliverOffline: QoS 0 messages that a deliver hook wants do not wait for
// a client that is away, QoS 1 messages meet the hook when it is back.
func TestDeliverOffline(t *testing.T) {
	asked := 0
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("id=a expiry=100", "t:q1")
		a.drop()
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=0")
		p.send("PUBLISH topic=t payload=1 q=1 id=1")
		p.packets()
		if asked != 0 {
			t.Errorf("asked %d times for a client that is away", asked)
		}
		s.resume("id=a expiry=100", "PUBLISH topic=t payload=1 q=1 id=1")
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		s.wantDrops(map[Cause]int64{CauseOfflineQoS0: 1})
	}, deliverFunc(func(*DeliverEvent) Decision { asked++; return Decision{} }))
}

// TestWillVerdicts: a will may be changed, dropped and denied.
func TestWillVerdicts(t *testing.T) {
	for topic, want := range map[string][]string{
		"ok":   {"PUBLISH topic=status payload=gone"},
		"drop": nil, "deny": nil, "bad": nil, "panic": nil, "publishdeny": nil,
	} {
		t.Run(topic, func(t *testing.T) {
			bubble(t, wireOptions(), func(s *stage) {
				sub := s.subscriber("clean id=s", "#")
				p := s.connect("clean id=p will=" + topic + ":bye:q1")
				p.drop()
				sub.expect(want...)
				if want == nil {
					s.wantDrops(map[Cause]int64{CauseScript: 1})
				}
			}, willFunc(func(ev *WillEvent) Decision {
				switch ev.Message.Topic {
				case "ok":
					ev.Message.Topic, ev.Message.Payload = "status", []byte("gone")
				case "drop":
					return Decision{Verdict: Drop}
				case "deny":
					return Decision{Verdict: Deny}
				case "bad":
					ev.Message.Topic = "#"
				case "panic":
					panic("will")
				}
				return Decision{}
			}), publishFunc(func(ev *PublishEvent) Decision {
				if ev.Message.Topic == "publishdeny" && ev.Message.Origin == OriginWill && ev.Client.ID == "p" {
					return Decision{Verdict: Deny}
				}
				return Decision{}
			}))
		})
	}
}

// TestSharedBehindHook: a shared message that is with a member's deliver hook
// when the member's session ends goes to another member.
func TestSharedBehindHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		s := newStage(t, wireOptions(), deliverFunc(func(ev *DeliverEvent) Decision {
			if ev.Client.ID == "a" {
				<-held
			}
			return Decision{}
		}))
		defer s.end()
		a := s.subscriber("clean id=a", "$share/g/t:q1")
		p := s.connect("clean id=p")
		p.send("PUBLISH topic=t payload=x q=1 id=1")
		p.expect("PUBACK id=1")
		b := s.subscriber("clean id=b", "$share/g/t:q1")
		a.drop()
		b.expect()
		close(held)
		b.expect("PUBLISH topic=t payload=x q=1 id=1")
		s.wantDrops(nil)
	})
}

// TestSharedInTurn: members that are alike get as many messages each.
func TestSharedInTurn(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		var members []*peer
		for i := range 3 {
			members = append(members, s.subscriber(fmt.Sprintf("clean id=m%d", i), "$share/g/+"))
		}
		p := s.connect("v311 clean id=p")
		for range 30 {
			p.send("PUBLISH topic=t payload=x")
		}
		for i, m := range members {
			if n := len(m.packets()); n != 10 {
				t.Errorf("member %d got %d of 30 messages", i, n)
			}
		}
	})
}

// TestMount: rules see topics without the mount, the tree holds them with it,
// and what is delivered is without it again.
func TestMount(t *testing.T) {
	var seen []string
	bubble(t, wireOptions(), func(s *stage) {
		a := s.subscriber("clean id=a", "#:q1", "$share/g/t")
		p := s.connect("clean id=b")
		p.send("PUBLISH topic=t payload=x q=1 id=1 resptopic=r retain")
		p.packets()
		a.expect("PUBLISH topic=t payload=x q=1 id=1 resptopic=r", "PUBLISH topic=t payload=x resptopic=r")
		other := s.subscriber("clean id=none", "#")
		other.expect()
		p.send("SUBSCRIBE id=1 f=+")
		p.expect("SUBACK id=1 codes=0", "PUBLISH topic=t payload=x resptopic=r retain")
		if _, ok := s.b.retained.tree.Get("m/t"); !ok {
			t.Error("it is not retained with its mount")
		}
		if want := []string{"#", "t", "t r", "#", "+"}; !slices.Equal(seen, want) {
			t.Errorf("rules saw %q, want %q", seen, want)
		}
	}, mountHook{}, subscribeFunc(func(ev *SubscribeEvent) Decision {
		seen = append(seen, ev.Filter)
		return Decision{}
	}), publishFunc(func(ev *PublishEvent) Decision {
		seen = append(seen, ev.Message.Topic+" "+ev.Message.ResponseTopic)
		return Decision{}
	}))
}

type mountHook struct{}

func (mountHook) OnConnect(ev *ConnectEvent) Decision {
	if ev.ClientID != "none" {
		ev.Mount = "m/"
	}
	return Decision{}
}
