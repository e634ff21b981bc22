package core

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"lunamq/core/packet"
)

// steps is an authentication hook for the method "steps": data "more" asks on,
// "ok" allows, "no" denies, anything else is denied with a code of CONNACK alone.
type steps struct{ seen []string }

func (h *steps) OnAuth(ev *AuthEvent) AuthAnswer {
	if ev.Method != "steps" {
		return AuthAnswer{}
	}
	h.seen = append(h.seen, fmt.Sprintf("%s %d %v %s", ev.Client.ID, ev.Step, ev.Again, ev.Data))
	switch string(ev.Data) {
	case "more":
		return AuthAnswer{Continue: true, Data: fmt.Appendf(nil, "challenge %d", ev.Step)}
	case "ok":
		return AuthAnswer{Decision: Decision{Verdict: Allow}, Data: []byte("welcome")}
	case "bare":
		return AuthAnswer{Decision: Decision{Verdict: Allow}}
	case "no":
		return AuthAnswer{Decision: Decision{Verdict: Deny, Text: "wrong answer", By: "steps"}}
	case "panic":
		panic("steps")
	}
	return AuthAnswer{Decision: Decision{Verdict: Deny, Reason: packet.Banned}}
}

// TestEnhancedAuthentication is chapter 4.12, line by line: > sent, < received,
// ! closed.
func TestEnhancedAuthentication(t *testing.T) {
	const accepted = `
		> CONNECT clean id=a auth=steps authdata=ok
		< CONNACK auth=steps authdata=welcome`
	for _, c := range []struct{ name, lines string }{
		{"allowed at once [MQTT-4.12.0-5]", accepted},
		{"allowed without data", `
			> CONNECT clean id=a auth=steps authdata=bare
			< CONNACK auth=steps`},
		{"three steps [MQTT-4.12.0-2] [MQTT-4.12.0-3]", `
			> CONNECT clean auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x18 auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 2"
			> AUTH code=0x18 auth=steps authdata=ok
			< CONNACK auth=steps authdata=welcome assigned=*
			> PINGREQ
			< PINGRESP`},
		{"denied at once [MQTT-4.12.0-4]", `
			> CONNECT clean id=a auth=steps authdata=no
			< CONNACK code=0x87 reason="wrong answer"
			!`},
		{"denied after a step", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x18 auth=steps authdata=banned
			< CONNACK code=0x8A
			!`},
		{"a hook that panics refuses", `
			> CONNECT clean id=a auth=steps authdata=panic
			< CONNACK code=0x80
			!`},
		{"a method that nobody knows", `
			> CONNECT clean id=a auth=other
			< CONNACK code=0x8C reason=*
			!`},
		{"another method in AUTH [MQTT-4.12.0-5]", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x18 auth=other authdata=ok
			< CONNACK code=0x82 reason=*
			!`},
		{"nothing but AUTH and DISCONNECT before CONNACK [MQTT-3.1.2-30]", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> PINGREQ
			< CONNACK code=0x82 reason=*
			!`},
		{"a second CONNECT before CONNACK", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> CONNECT clean id=a auth=steps authdata=more
			< CONNACK code=0x82 reason=*
			!`},
		{"DISCONNECT before CONNACK", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> DISCONNECT
			!`},
		{"re-authenticate before CONNACK", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x19 auth=steps authdata=more
			< CONNACK code=0x82 reason=*
			!`},
		{"a malformed AUTH before CONNACK", `
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> hex f0 01 18
			< CONNACK code=0x81 reason=*
			!`},
		{"re-authentication in one step (4.12.1)", accepted + `
			> AUTH code=0x19 auth=steps authdata=ok
			< AUTH code=0 auth=steps authdata=welcome
			> PINGREQ
			< PINGRESP`},
		{"re-authentication in steps, with other packets between (4.12.1)", accepted + `
			> AUTH code=0x19 auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> PUBLISH topic=t q=1 id=1
			< PUBACK id=1 code=0x10
			> AUTH code=0x18 auth=steps authdata=ok
			< AUTH code=0 auth=steps authdata=welcome
			> AUTH code=0x19 auth=steps authdata=bare
			< AUTH code=0 auth=steps`},
		{"denied re-authentication [MQTT-4.12.1-2]", accepted + `
			> AUTH code=0x19 auth=steps authdata=no
			< DISCONNECT code=0x87 reason="wrong answer"
			!`},
		{"denied re-authentication with a code that DISCONNECT has not", accepted + `
			> AUTH code=0x19 auth=steps authdata=banned
			< DISCONNECT code=0x80
			!`},
		{"re-authentication with another method [MQTT-4.12.1-1]", accepted + `
			> AUTH code=0x19 auth=other authdata=ok
			< DISCONNECT code=0x82 reason=*
			!`},
		{"continue out of turn", accepted + `
			> AUTH code=0x18 auth=steps authdata=ok
			< DISCONNECT code=0x82 reason=*
			!`},
		{"re-authenticate twice at once", accepted + `
			> AUTH code=0x19 auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x19 auth=steps authdata=more
			< DISCONNECT code=0x82 reason=*
			!`},
		{"success is the server's to say (table 3-11)", accepted + `
			> hex f0 00
			< DISCONNECT code=0x82 reason=*
			!`},
		{"an AUTH beyond the client's maximum packet size [MQTT-3.1.2-24]", `
			> CONNECT clean id=a auth=steps authdata=more maxpacket=20
			< CONNACK code=0x95
			!`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, wireOptions(), new(steps))
				defer s.end()
				s.play(c.lines)
			})
		})
	}
}

// play runs the lines of one client: > sent, < received, ! closed.
func (s *stage) play(lines string) {
	s.t.Helper()
	p := s.dial()
	var want []string
	check := func() {
		s.t.Helper()
		p.expect(want...)
		want = nil
	}
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case line[0] == '>':
			check()
			p.send(strings.TrimSpace(line[1:]))
		case line[0] == '<':
			want = append(want, strings.TrimSpace(line[1:]))
		case line == "!":
			check()
			if !p.isClosed() {
				s.t.Fatal("not closed")
			}
			return
		default:
			s.t.Fatalf("what is %q?", line)
		}
	}
	check()
	if p.isClosed() {
		s.t.Fatal("closed")
	}
}

// TestAuthReply: what a connect hook adds to the CONNACK is in a refusal too.
func TestAuthReply(t *testing.T) {
	bubble(t, wireOptions(), func(s *stage) {
		s.play(`
			> CONNECT clean id=a auth=steps authdata=no problem=0
			< CONNACK code=0x87 ref=other
			!`)
	}, new(steps), connectFunc(func(ev *ConnectEvent) Decision { ev.Reply.ServerReference = "other"; return Decision{} }))
}

// TestAuthEvents: what the hook sees, step by step.
func TestAuthEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(steps)
		s := newStage(t, wireOptions(), h)
		defer s.end()
		s.play(`
			> CONNECT clean id=a auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x18 auth=steps authdata=ok
			< CONNACK auth=steps authdata=welcome
			> AUTH code=0x19 auth=steps authdata=more
			< AUTH code=0x18 auth=steps authdata="challenge 1"
			> AUTH code=0x18 auth=steps authdata=bare
			< AUTH code=0 auth=steps`)
		want := "[a 1 false more a 2 false ok a 1 true more a 2 true bare]"
		if got := fmt.Sprint(h.seen); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestAuthDefaultDeny: with [auth] default = "deny", an authentication that
// was passed is an allow.
func TestAuthDefaultDeny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wireOptions()
		o.AuthDefaultDeny = true
		s := newStage(t, o, new(steps))
		defer s.end()
		s.play(`
			> CONNECT clean id=a
			< CONNACK code=0x87 reason=*
			!`)
		s.play(`
			> CONNECT clean id=a auth=steps authdata=bare
			< CONNACK auth=steps`)
		s.play(`
			> CONNECT clean id=b auth=steps authdata=no
			< CONNACK code=0x87 reason=*
			!`)
	})
}
