package core

import (
	"testing"
	"testing/synctest"
)

// TestWillByHooks: what will and publish hooks decide is what the client's end is
// told with, and an allow of a will hook authorises the will.
func TestWillByHooks(t *testing.T) {
	always := func(d Decision) willFunc { return func(*WillEvent) Decision { return d } }
	ofWill := func(d Decision) publishFunc {
		return func(ev *PublishEvent) Decision {
			if ev.Message.Origin != OriginWill {
				return Decision{Verdict: Allow}
			}
			return d
		}
	}
	for name, c := range map[string]struct {
		hook   any
		denies bool // [auth] default = "deny"
		topic  string
		fate   string
	}{
		"no opinion":             {hook: always(Decision{}), fate: "sent"},
		"dropped":                {hook: always(Decision{Verdict: Drop}), fate: "discarded"},
		"denied":                 {hook: always(Decision{Verdict: Deny}), fate: "discarded"},
		"dropped when published": {hook: ofWill(Decision{Verdict: Drop}), fate: "discarded"},
		"denied when published":  {hook: ofWill(Decision{Verdict: Deny}), fate: "discarded"},
		"the broker's own":       {hook: always(Decision{}), topic: "$SYS/x", fate: "discarded"},
		"by default denied":      {hook: always(Decision{}), denies: true, fate: "discarded"},
		"allowed":                {hook: always(Decision{Verdict: Allow}), denies: true, fate: "sent"},
		"allowed when published": {hook: ofWill(Decision{Verdict: Allow}), denies: true, fate: "sent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wireOptions()
				o.AuthDefaultDeny = c.denies
				topic := "w"
				if c.topic != "" {
					topic = c.topic
				}
				told := ""
				s := newStage(t, o, c.hook, allowConnect{}, connectFunc(func(*ConnectEvent) Decision { return Decision{Verdict: Allow} }),
					subscribeFunc(func(*SubscribeEvent) Decision { return Decision{Verdict: Allow} }),
					disconnectedFunc(func(ev *DisconnectedEvent) { told = ev.Will }))
				defer s.end()
				w := s.connect("clean id=watcher")
				w.send("SUBSCRIBE id=1 f=#")
				w.packets()
				s.connect("clean id=a will=" + topic + ":bye").drop()
				if c.fate == "sent" {
					w.expect("PUBLISH topic=w payload=bye")
				} else {
					w.expect()
				}
				if told != c.fate {
					t.Errorf("told that the will was %q, want %q", told, c.fate)
				}
			})
		})
	}
}
