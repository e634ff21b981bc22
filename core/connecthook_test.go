package core

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"lunamq/core/packet"
)

type connectFunc func(*ConnectEvent) Decision

func (f connectFunc) OnConnect(ev *ConnectEvent) Decision { return f(ev) }

// TestConnectHook: what a connect hook decides and changes, as the client sees it.
func TestConnectHook(t *testing.T) {
	deny := func(reason packet.ReasonCode, text string) connectFunc {
		return func(*ConnectEvent) Decision { return Decision{Verdict: Deny, Reason: reason, Text: text, By: "test"} }
	}
	change := func(fn func(*ConnectEvent)) connectFunc {
		return func(ev *ConnectEvent) Decision { fn(ev); return Decision{} }
	}
	up := []packet.UserProperty{{Key: "k", Value: "v"}}
	for _, c := range []struct {
		name  string
		hook  connectFunc
		lines string
	}{
		{"deny", deny(0, ""), `
			> CONNECT clean id=a
			< CONNACK code=0x87
			!`},
		{"deny with a reason and a text", deny(packet.Banned, "go away"), `
			> CONNECT clean id=a
			< CONNACK code=0x8A reason="go away"
			!`},
		{"a text that the client did not ask for", deny(packet.Banned, "go away"), `
			> CONNECT clean id=a problem=0
			< CONNACK code=0x8A
			!`},
		{"a text that does not fit", deny(packet.Banned, "go away"), `
			> CONNECT clean id=a maxpacket=12
			< CONNACK code=0x8A
			!`},
		{"a text that is no UTF-8", deny(packet.Banned, "\xff\x00"), `
			> CONNECT clean id=a
			< CONNACK code=0x8A reason="??"
			!`},
		{"3.1.1: bad user name or password", deny(packet.BadUserNameOrPassword, "x"), `
			> CONNECT v311 clean id=a
			< hex 20 02 00 04
			!`},
		{"3.1.1: not authorized", deny(0, "x"), `
			> CONNECT v311 clean id=a
			< hex 20 02 00 05
			!`},
		{"3.1.1: identifier rejected", deny(packet.ClientIDNotValid, "x"), `
			> CONNECT v31 clean id=a
			< hex 20 02 00 02
			!`},
		{"3.1.1: server unavailable", deny(packet.ServerBusy, "x"), `
			> CONNECT v311 clean id=a
			< hex 20 02 00 03
			!`},
		{"a code that CONNACK has not", deny(packet.KeepAliveTimeout, ""), `
			> CONNECT clean id=a
			< CONNACK code=0x80
			!`},
		{"disconnect is as deny", func(*ConnectEvent) Decision { return Decision{Verdict: Disconnect, Reason: packet.Banned} }, `
			> CONNECT clean id=a
			< CONNACK code=0x8A
			!`},
		{"a panic refuses", func(*ConnectEvent) Decision { panic("test") }, `
			> CONNECT clean id=a
			< CONNACK code=0x80
			!`},
		{"a refusal that names another server", func(ev *ConnectEvent) Decision {
			ev.Reply = ConnectReply{ServerReference: "other:1883", UserProperties: up}
			return Decision{Verdict: Deny, Reason: packet.UseAnotherServer}
		}, `
			> CONNECT clean id=a
			< CONNACK code=0x9C ref=other:1883 up=k:v
			!`},
		{"a refusal whose reply is not valid", func(ev *ConnectEvent) Decision {
			ev.Reply.ServerReference = strings.Repeat("x", 70_000)
			return Decision{Verdict: Deny, Reason: packet.UseAnotherServer}
		}, `
			> CONNECT clean id=a
			< CONNACK code=0x9C
			!`},
		{"reply", change(func(ev *ConnectEvent) {
			ev.Reply = ConnectReply{ServerReference: "other", UserProperties: up, ResponseInformation: "re/"}
		}), `
			> CONNECT clean id=a
			< CONNACK ref=other up=k:v`},
		{"response information is for who asked [MQTT-3.1.2-28]", change(func(ev *ConnectEvent) { ev.Reply.ResponseInformation = "re/" }), `
			> CONNECT clean id=a wantinfo=1
			< CONNACK info=re/`},
		{"user properties that do not fit [MQTT-3.2.2-20]", change(func(ev *ConnectEvent) { ev.Reply.UserProperties = up }), `
			> CONNECT clean id=a maxpacket=11
			< CONNACK`},
		{"a reply that is not valid", change(func(ev *ConnectEvent) { ev.Reply.UserProperties = []packet.UserProperty{{Key: "\xff"}} }), `
			> CONNECT clean id=a
			< CONNACK code=0x80 reason=*
			!`},
		{"session expiry", change(func(ev *ConnectEvent) { ev.SessionExpiry = 7 }), `
			> CONNECT id=a expiry=100
			< CONNACK expiry=7`},
		{"a DISCONNECT may ask for less than was granted, not for more", change(func(ev *ConnectEvent) { ev.SessionExpiry = 0 }), `
			> CONNECT id=a expiry=100
			< CONNACK expiry=0
			> DISCONNECT expiry=50
			!`},
		{"keep alive lowered for MQTT 5", change(func(ev *ConnectEvent) { ev.KeepAlive = 5 }), `
			> CONNECT clean id=a ka=10
			< CONNACK serverka=5`},
		{"a client identifier that is not valid", change(func(ev *ConnectEvent) { ev.ClientID = "\xff" }), `
			> CONNECT clean id=a
			< CONNACK code=0x85 reason=*
			!`},
		{"the client identifier of another", change(func(ev *ConnectEvent) { ev.ClientID = "b" }), `
			> CONNECT clean id=a
			< CONNACK`},
		{"a client identifier for one that sent none [MQTT-3.2.2-16]", change(func(ev *ConnectEvent) { ev.ClientID = "b" }), `
			> CONNECT clean
			< CONNACK assigned=b`},
		{"a mount that is not one", change(func(ev *ConnectEvent) { ev.Mount = "a" }), `
			> CONNECT clean id=a
			< CONNACK code=0x80 reason=*
			!`},
		{"a will that is not valid", change(func(ev *ConnectEvent) { ev.Will.Topic = "a/#" }), `
			> CONNECT clean id=a will=t:x
			< CONNACK code=0x90 reason=*
			!`},
		{"a packet size below the CONNECT's", change(func(ev *ConnectEvent) { ev.Limits.PacketSize = 100 }), `
			> CONNECT clean id=a
			< CONNACK maxpacket=100
			> hex 30 63
			< DISCONNECT code=0x95 reason=*
			!`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, wireOptions(), c.hook)
				defer s.end()
				s.play(c.lines)
			})
		})
	}
}

// TestConnectHookWill: a connect hook strips or rewrites the will.
func TestConnectHookWill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		s := newStage(t, wireOptions(), connectFunc(func(ev *ConnectEvent) Decision {
			switch ev.ClientID {
			case "strip":
				ev.Will = nil
			case "rewrite":
				ev.Will.Topic = "rewritten"
			}
			return Decision{}
		}), d)
		defer s.end()
		for _, id := range []string{"strip", "rewrite"} {
			s.connect("clean id=" + id + " will=w:x").drop()
		}
		got := slices.DeleteFunc(d.take(), func(e string) bool { return !strings.HasPrefix(e, "publish") })
		if want := []string{"publish will rewritten"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestEffects: what hooks queue happens once the event is decided: always with
// always, else unless it was refused.
func TestEffects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *stage
		publish := func(turn *Turn, always bool, topic string) {
			turn.After(always, func() {
				_ = s.b.Publish(turn, Message{Topic: topic, Origin: OriginScript}, false)
			})
		}
		s = newStage(t, wireOptions(), connectFunc(func(ev *ConnectEvent) Decision {
			if ev.ClientID == "watch" {
				return Decision{}
			}
			publish(&ev.Turn, false, "connect/"+ev.ClientID)
			publish(&ev.Turn, true, "always/"+ev.ClientID)
			if ev.ClientID == "denied" {
				return Decision{Verdict: Deny}
			}
			return Decision{}
		}), connectedFunc(func(ev *ConnectedEvent) { publish(&ev.Turn, false, "connected/"+ev.Client.ID) }),
			disconnectedFunc(func(ev *DisconnectedEvent) { publish(&ev.Turn, false, "disconnected/"+ev.Client.ID) }))
		defer s.end()
		w := s.connect("clean id=watch")
		w.send("SUBSCRIBE id=1 f=#")
		w.expect("SUBACK id=1 codes=0")

		p := s.dial()
		p.send("CONNECT clean id=denied")
		p.expect("CONNACK code=0x87")
		w.expect("PUBLISH topic=always/denied")
		p = s.connect("clean id=a")
		w.expect("PUBLISH topic=connect/a", "PUBLISH topic=always/a", "PUBLISH topic=connected/a")
		p.send("DISCONNECT")
		w.expect("PUBLISH topic=disconnected/a")
	})
}

type connectedFunc func(*ConnectedEvent)

func (f connectedFunc) OnConnected(ev *ConnectedEvent) { f(ev) }

type disconnectedFunc func(*DisconnectedEvent)

func (f disconnectedFunc) OnDisconnected(ev *DisconnectedEvent) { f(ev) }

// TestToldHooksPanic: a panic in a hook that is told ends nothing.
func TestToldHooksPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions(),
			connectedFunc(func(*ConnectedEvent) { panic("connected") }),
			disconnectedFunc(func(*DisconnectedEvent) { panic("disconnected") }))
		defer s.end()
		p := s.connect("clean id=a")
		p.send("PINGREQ")
		p.expect("PINGRESP")
		p.send("DISCONNECT")
		synctest.Wait()
		if n := s.b.metrics.HookPanics.Load(); n != 2 {
			t.Errorf("%d panics counted, want 2", n)
		}
	})
}

// TestVarsOutliveConnections: vars are the session's, and a connect hook adds to them.
func TestVarsOutliveConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []any
		s := newStage(t, wireOptions(),
			connectFunc(func(ev *ConnectEvent) Decision {
				if ev.CleanStart {
					_ = ev.Vars.Set("tenant", "blue")
				}
				return Decision{}
			}),
			connectedFunc(func(ev *ConnectedEvent) { seen = append(seen, ev.Client.Vars.Get("tenant")) }))
		defer s.end()
		s.connect("clean id=a expiry=10").send("DISCONNECT")
		s.connect("id=a").send("DISCONNECT")
		s.connect("id=a").send("DISCONNECT")
		synctest.Wait()
		if want := []any{"blue", "blue", nil}; !slices.Equal(seen, want) {
			t.Errorf("got %v, want %v", seen, want)
		}
	})
}

// TestMountsAreApart: the identity of a session is mount and identifier.
func TestMountsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, wireOptions(), connectFunc(func(ev *ConnectEvent) Decision {
			ev.Mount = ev.Username + "/"
			return Decision{}
		}))
		defer s.end()
		a := s.connect("clean id=x user=a")
		b := s.connect("clean id=x user=b")
		a.send("SUBSCRIBE id=1 f=t")
		a.expect("SUBACK id=1 codes=0")
		b.send("PUBLISH topic=t payload=b")
		a.send("PUBLISH topic=t payload=a")
		a.expect("PUBLISH topic=t payload=a")
		if !s.b.Kick("a/", "x", packet.AdministrativeAction, "", "test") || !s.b.Kick("", "b/x", packet.AdministrativeAction, "", "test") {
			t.Error("not found by mount and identifier")
		}
		a.expect("DISCONNECT code=0x98")
		b.expect("DISCONNECT code=0x98")
		if s.b.Kick("", "x", packet.AdministrativeAction, "", "test") {
			t.Error("kicked who is not there")
		}
	})
}
