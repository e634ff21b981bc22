package e2e

import (
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

const subscribeRules = `
mqtt.on("subscribe", "s/deny",       function() return mqtt.deny() end)
mqtt.on("subscribe", "s/quota",      function() return mqtt.deny("quota_exceeded", "too many") end)
mqtt.on("subscribe", "s/false",      function() return false end)
mqtt.on("subscribe", "s/drop",       function() return mqtt.drop() end) -- line 5
mqtt.on("subscribe", "s/foreign",    function() return mqtt.deny("banned") end)
mqtt.on("subscribe", "s/fails",      function(sub) sub.filter = "s/#/x" end)
mqtt.on("subscribe", "s/raise",      function(sub) sub.qos = 2 end)
mqtt.on("subscribe", "s/lower",      function(sub) sub.qos = 0 end)
mqtt.on("subscribe", "s/moved",      function(sub) sub.filter = "t/moved" end)
mqtt.on("subscribe", "s/options",    function(sub) sub.retain_as_published = true; sub.no_local = sub.share == nil; sub.retain_handling = 2 end)
mqtt.on("subscribe", "s/disconnect", function() return mqtt.disconnect("administrative_action", "not here") end)
mqtt.on("subscribe", "guarded/secret/#", function(sub) return mqtt.deny("not_authorized", sub.filter) end)
`

// TestSubscribeVerdicts: the code for that filter; 3.1.1 knows 0x80 alone, and
// 3.1 nothing: QoS 0 is said to be granted, and nothing is stored.
func TestSubscribeVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"s.lua": subscribeRules}})
	tests := []struct {
		filter, topic string // that a subscription to the filter would get
		v5            packet.ReasonCode
	}{
		{"s/deny", "s/deny", packet.NotAuthorized},
		{"s/quota", "s/quota", packet.QuotaExceeded},
		{"s/false", "s/false", packet.NotAuthorized},
		{"s/drop", "s/drop", packet.UnspecifiedError},
		{"s/foreign", "s/foreign", packet.UnspecifiedError},
		{"s/fails", "s/fails", packet.UnspecifiedError},
		{"s/raise", "s/raise", packet.UnspecifiedError},
		{"$share/g/s/deny", "s/deny", packet.NotAuthorized},
		{"+/deny", "s/deny", packet.NotAuthorized}, // overlaps
		{"guarded/#", "guarded/x", packet.NotAuthorized},
	}
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		pub, c := p.connect(login{}), p.connect(login{version: v})
		granted(t, c, "barrier", 1)
		for _, tt := range tests {
			want := map[packet.Version]packet.ReasonCode{packet.V31: 0, packet.V311: 0x80, packet.V5: tt.v5}[v]
			if code := c.subscribe(tt.filter, 1); code != want {
				t.Errorf("%s: 0x%02x, want 0x%02x", tt.filter, byte(code), byte(want))
			}
			published(t, pub, message{topic: tt.topic, payload: "not stored", qos: 1})
			published(t, pub, message{topic: "barrier", payload: tt.filter, qos: 1})
			expect(t, c, "barrier "+tt.filter+" q1")
		}
		if code := c.subscribe("s/lower", 2); code != 0 {
			t.Errorf("lowered: 0x%02x", byte(code))
		}
		published(t, pub, message{topic: "s/lower", payload: "x", qos: 2})
		expect(t, c, "s/lower x")
	})
	checkErrors(t, p, map[string]string{"s.lua:5": "mqtt.drop", "s.lua:6": "banned", "s.lua:7": "s/#/x", "s.lua:8": "lowered"})
}

// TestSubscribeSome: each filter of a SUBSCRIBE has its own answer, and who
// refused says why.
func TestSubscribeSome(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"s.lua": subscribeRules}})
	c, pub := p.connect5(login{}), p.connect(login{})
	ack := c.suback(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: "s/a", QoS: 1}, {Topic: "s/quota", QoS: 1}, {Topic: "s/lower", QoS: 1}, {Topic: "s/b", QoS: 2},
	}})
	if want := []byte{1, 0x97, 0, 2}; !slices.Equal(ack.Reasons, want) || ack.Properties.ReasonString != "too many" {
		t.Errorf("got % x %q, want % x", ack.Reasons, ack.Properties.ReasonString, want)
	}
	for _, topic := range []string{"s/a", "s/quota", "s/b"} {
		published(t, pub, message{topic: topic, qos: 1})
	}
	expect(t, c, "s/a  q1", "s/b  q1")

	published(t, pub, message{topic: "s/options", payload: "old", qos: 1, retain: true})
	granted(t, c, "s/options", 1)
	published(t, c, message{topic: "s/options", payload: "own", qos: 1})
	published(t, pub, message{topic: "s/options", payload: "new", qos: 1, retain: true})
	expect(t, c, "s/options new q1 retained")
}

// TestSubscribeRewrite: a client leaves by the filter that it asked for.
func TestSubscribeRewrite(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"s.lua": subscribeRules}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		c, pub := p.connect(login{version: v}), p.connect(login{})
		granted(t, c, "s/moved", 1)
		granted(t, c, "barrier", 1)
		published(t, pub, message{topic: "s/moved", payload: "not this", qos: 1})
		published(t, pub, message{topic: "t/moved", payload: "this", qos: 1})
		expect(t, c, "t/moved this q1")
		if code := c.unsubscribe("t/moved"); v == packet.V5 && code != packet.NoSubscriptionExisted {
			t.Errorf("unsubscribe t/moved: %s", code)
		}
		if code := c.unsubscribe("s/moved"); code != packet.Success {
			t.Errorf("unsubscribe s/moved: %s", code)
		}
		published(t, pub, message{topic: "t/moved", payload: "left", qos: 1})
		published(t, pub, message{topic: "barrier", qos: 1})
		expect(t, c, "barrier  q1")
	})
}

// TestSubscribeDisconnect: DISCONNECT with the code; a close in 3.x.
func TestSubscribeDisconnect(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"s.lua": subscribeRules}})
	for _, v := range versions {
		s := connectSocket(t, p.addr("local"), v, "c"+v.String())
		s.send((&packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: "s/a"}, {Filter: "s/disconnect"}}}).Append(nil, v))
		if v == packet.V5 {
			var end packet.Disconnect
			s.expect(packet.DISCONNECT, &end)
			if end.Code != packet.AdministrativeAction || end.Props.ReasonString != "not here" {
				t.Errorf("%s %q", end.Code, end.Props.ReasonString)
			}
		}
		if rest := s.rest(); len(rest) > 0 {
			t.Errorf("%s: % x came before the close", v, rest)
		}
	}
}

const unsubscribeRules = `
mqtt.on("unsubscribe", "u/deny",       function() return mqtt.deny("not_authorized", "stay") end) -- line 2
mqtt.on("unsubscribe", "u/false",      function() return false end)
mqtt.on("unsubscribe", "u/drop",       function() return mqtt.drop() end)
mqtt.on("unsubscribe", "u/foreign",    function() return mqtt.deny("quota_exceeded") end)
mqtt.on("unsubscribe", "u/fails",      function() error("on purpose") end)
mqtt.on("unsubscribe", "u/other",      function(ev) ev.filter = "u/real" end)
mqtt.on("unsubscribe", "u/disconnect", function() return mqtt.disconnect("administrative_action") end)
`

// TestUnsubscribeVerdicts: 5 is told in UNSUBACK and keeps its subscription;
// UNSUBACK of 3.x cannot say no, so that a deny is a script error there and the
// client leaves.
func TestUnsubscribeVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"u.lua": unsubscribeRules}})
	tests := []struct {
		topic string
		v5    packet.ReasonCode
	}{
		{"u/nothing", packet.Success},
		{"u/deny", packet.NotAuthorized},
		{"u/false", packet.NotAuthorized},
		{"u/drop", packet.UnspecifiedError},
		{"u/foreign", packet.UnspecifiedError},
		{"u/fails", packet.UnspecifiedError},
	}
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		c, pub := p.connect(login{version: v}), p.connect(login{})
		granted(t, c, "barrier", 1)
		for _, tt := range tests {
			granted(t, c, tt.topic, 1)
			code := c.unsubscribe(tt.topic)
			if v == packet.V5 && code != tt.v5 {
				t.Errorf("%s: %s, want %s", tt.topic, code, tt.v5)
			}
			published(t, pub, message{topic: tt.topic, payload: "still", qos: 1})
			if v == packet.V5 && tt.v5.IsError() {
				expect(t, c, tt.topic+" still q1")
			}
			published(t, pub, message{topic: "barrier", payload: tt.topic, qos: 1})
			expect(t, c, "barrier "+tt.topic+" q1")
		}
		granted(t, c, "u/real", 1)
		if code := c.unsubscribe("u/other"); code != packet.Success {
			t.Errorf("u/other: %s", code)
		}
		published(t, pub, message{topic: "u/real", payload: "left", qos: 1})
		published(t, pub, message{topic: "barrier", qos: 1})
		expect(t, c, "barrier  q1")
	})
	checkErrors(t, p, map[string]string{"u.lua:2": "3.x cannot be refused", "u.lua:4": "mqtt.drop", "u.lua:5": "cannot be refused", "u.lua:6": "on purpose"})
}

// TestUnsubscribeDisconnect: DISCONNECT with the code; a close in 3.x.
func TestUnsubscribeDisconnect(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"u.lua": unsubscribeRules}})
	for _, v := range versions {
		s := connectSocket(t, p.addr("local"), v, "c"+v.String())
		s.send((&packet.Unsubscribe{PacketID: 1, Filters: []string{"u/disconnect"}}).Append(nil, v))
		if v == packet.V5 {
			var end packet.Disconnect
			s.expect(packet.DISCONNECT, &end)
			if end.Code != packet.AdministrativeAction {
				t.Errorf("%s", end.Code)
			}
		}
		if rest := s.rest(); len(rest) > 0 {
			t.Errorf("%s: % x came before the close", v, rest)
		}
	}
}
