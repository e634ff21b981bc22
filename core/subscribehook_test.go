package core

import (
	"fmt"
	"testing"

	"lunamq/core/packet"
)

// TestSubscribeVerdicts: what the client sees of every verdict on a filter.
func TestSubscribeVerdicts(t *testing.T) {
	hook := subscribeFunc(func(ev *SubscribeEvent) Decision {
		switch ev.Filter {
		case "deny":
			return Decision{Verdict: Deny, Reason: packet.QuotaExceeded, Text: "no"}
		case "none":
			return Decision{Verdict: Deny, Reason: packet.GrantedQoS1}
		case "drop":
			return Decision{Verdict: Drop}
		case "out":
			return Decision{Verdict: Disconnect, Reason: packet.AdministrativeAction}
		case "bad":
			ev.Filter = "a/#/b"
		case "handling":
			ev.RetainHandling = 3
		case "low":
			ev.QoS = 0
		case "high":
			ev.QoS = 2
		case "other":
			ev.Filter = "rewritten/+"
		}
		return Decision{}
	})
	for _, c := range []struct{ connect, suback string }{
		{"v5", "SUBACK id=1 codes=1,0x97,0x80,0x80,0x8f,0x80,0,1,0 reason=no"},
		{"v311", "SUBACK id=1 codes=1,0x80,0x80,0x80,0x80,0x80,0,1,0"},
		{"v31", "SUBACK id=1 codes=1,0,0,0,0,0,0,1,0"},
	} {
		t.Run(c.connect, func(t *testing.T) {
			bubble(t, wireOptions(), func(s *stage) {
				p := s.connect(c.connect + " clean id=p")
				p.send("SUBSCRIBE id=1 f=ok:q1 f=deny:q2 f=none:q1 f=drop f=bad f=handling f=low:q2 f=high:q1 f=other")
				p.expect(c.suback)
				if n := s.b.metrics.Subscriptions.Load(); n != 4 {
					t.Errorf("%d subscriptions, want 4", n)
				}
				p.send("PUBLISH topic=rewritten/x payload=x")
				p.expect("PUBLISH topic=rewritten/x payload=x")
				p.send("UNSUBSCRIBE id=2 f=other") // by what it asked for
				p.packets()
				p.send("PUBLISH topic=rewritten/x payload=x")
				p.expect()
				p.send("SUBSCRIBE id=3 f=later f=out")
				if c.connect == "v5" {
					p.expect("DISCONNECT code=0x98")
				} else {
					p.expect()
				}
				if !p.isClosed() {
					t.Error("not closed")
				}
				if n := s.b.metrics.Subscriptions.Load(); n != 0 {
					t.Errorf("%d subscriptions are left", n)
				}
			}, hook)
		})
	}
}

// TestUnsubscribeVerdicts: MQTT 5 is told, 3.x cannot be and is unsubscribed.
func TestUnsubscribeVerdicts(t *testing.T) {
	hook := unsubscribeFunc(func(ev *UnsubscribeEvent) Decision {
		switch ev.Filter {
		case "deny":
			return Decision{Verdict: Deny, Reason: packet.NotAuthorized}
		case "none":
			return Decision{Verdict: Deny, Reason: packet.NoSubscriptionExisted}
		case "alias":
			ev.Filter = "c"
		case "out":
			return Decision{Verdict: Disconnect}
		}
		return Decision{}
	})
	bubble(t, wireOptions(), func(s *stage) {
		p := s.subscriber("clean id=p", "deny", "none", "c", "a")
		p.send("UNSUBSCRIBE id=2 f=deny f=none f=alias f=a")
		p.expect("UNSUBACK id=2 codes=0x87,0x80,0,0")
		if n := s.b.metrics.Subscriptions.Load(); n != 2 {
			t.Errorf("%d subscriptions are left, want 2", n)
		}
		v3 := s.subscriber("v311 clean id=v3", "deny")
		v3.send("UNSUBSCRIBE id=2 f=deny")
		v3.expect("UNSUBACK id=2")
		if n := s.b.metrics.Subscriptions.Load(); n != 2 {
			t.Errorf("%d subscriptions are left, want 2", n)
		}
		p.send("UNSUBSCRIBE id=3 f=deny f=out")
		p.expect("DISCONNECT code=0x87")
	}, hook)
}

// TestToldOfShares: what has been subscribed, and unsubscribed, is told with the
// group, without the mount.
func TestToldOfShares(t *testing.T) {
	var told []string
	bubble(t, wireOptions(), func(s *stage) {
		s.play(`
			> CONNECT clean id=a
			< CONNACK
			> SUBSCRIBE id=1 f=$share/g/a/#:q1 f=b:q0
			< SUBACK id=1 codes=1,0
			> UNSUBSCRIBE id=2 f=$share/g/a/# f=b
			< UNSUBACK id=2 codes=0,0`)
		if got, want := fmt.Sprint(told), "[+$share/g/a/# +b -$share/g/a/# -b]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	}, connectFunc(func(ev *ConnectEvent) Decision { ev.Mount = "m/"; return Decision{} }),
		subscribedFunc(func(ev *SubscriptionEvent) { told = append(told, "+"+ev.Filter) }),
		unsubscribedFunc(func(ev *SubscriptionEvent) { told = append(told, "-"+ev.Filter) }))
}
