package scripting

import (
	"slices"
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

// TestMadeTopics: a topic or a filter that cannot be sent or served is refused where
// a rule assigns it, and the event falls to on_error.
func TestMadeTopics(t *testing.T) {
	deep := `string.rep("a/", 200) .. "b"`
	for source, want := range map[string]string{
		`mqtt.on("publish", function(m) m.topic = "$SYS/x" end)`:                  "topic cannot be \"$SYS/x\": $SYS is the broker's own",
		`mqtt.on("publish", function(m) m.topic = "$SYS" end)`:                    "$SYS is the broker's own",
		`mqtt.on("publish", function(m) m.topic = ` + deep + ` end)`:              "topic has 201 levels, at most 128 are served ([limits] topic_levels)",
		`mqtt.on("publish", function() mqtt.publish{ topic = ` + deep + ` } end)`: "topic has 201 levels",
	} {
		r := rules(t, source)
		if d, ev := r.publish("a", "x"); d.Verdict != core.Deny || ev.Message.Topic != "a" {
			t.Errorf("%s: %+v, topic %q", source, d, ev.Message.Topic)
		}
		r.failedWith(want, "by=10.lua:1")
	}
	r := rules(t, `mqtt.on("publish", { on_error = "pass" }, function(m) m.topic = "$SYS/x" end)`)
	if d, ev := r.publish("a", "x"); d.Verdict != core.Pass || ev.Message.Topic != "a" {
		t.Errorf("%+v, topic %q", d, ev.Message.Topic)
	}
	r.failedWith("$SYS is the broker's own")

	for source, want := range map[string]string{
		`mqtt.on("connect", function(c) c.will = { topic = "$SYS/x" } end)`: "$SYS is the broker's own",
		`mqtt.on("connect", function(c) c.will.topic = "$SYS/x" end)`:       "$SYS is the broker's own",
	} {
		r := rules(t, source)
		h, _ := hookOf[core.ConnectHook](r.host)
		ev := &core.ConnectEvent{ClientID: "c", Protocol: packet.V5, Vars: new(core.Vars), Will: &core.Message{Topic: "w", Origin: core.OriginWill}}
		if d := h.OnConnect(ev); d.Verdict != core.Deny || ev.Will.Topic != "w" {
			t.Errorf("%s: %+v, will %+v", source, d, ev.Will)
		}
		r.failedWith(want)
	}

	r = rules(t, `mqtt.on("subscribe", function(s) s.filter = `+deep+` end)`)
	h, _ := hookOf[core.SubscribeHook](r.host)
	if d := h.OnSubscribe(&core.SubscribeEvent{Client: testClient(packet.V5), Filter: "a"}); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
	r.failedWith("filter has 201 levels")

	// what rules make of their own, and what a receiver is shown, may be named as the broker names its own
	r = rules(t, `mqtt.on("deliver", function(m) m.topic = "$SYS/x" end)`)
	d, _ := hookOf[core.DeliverHook](r.host)
	ev := &core.DeliverEvent{Client: testClient(packet.V5), Message: &core.Message{Topic: "a"}}
	if got := d.OnDeliver(ev); got.Verdict != core.Pass || ev.Message.Topic != "$SYS/x" {
		t.Errorf("%+v, topic %q", got, ev.Message.Topic)
	}
	r.clean()
}

// TestAlwaysOnBehalf: subscriptions that rules make or end for a client with always
// happen where the event is refused, too.
func TestAlwaysOnBehalf(t *testing.T) {
	for _, always := range []bool{false, true} {
		options := ""
		if always {
			options = ", { always = true }"
		}
		r := rules(t, `mqtt.on("publish", function()
			mqtt.subscribe("c", "a", 1`+options+`)
			mqtt.unsubscribe("c", "b"`+options+`)
			return mqtt.deny()
		end)`)
		ev := newPublish("t", "x")
		r.onPublish(ev)
		settle(&ev.Turn, true)
		if got := len(r.host.behalf); got != map[bool]int{false: 0, true: 2}[always] {
			t.Errorf("always %v: %q", always, r.host.behalf)
		}
	}
	for call, want := range map[string]string{
		`mqtt.subscribe("c", "a", 1, {alwys = true})`: `unknown key "alwys"`,
		`mqtt.unsubscribe("c", "a", 5)`:               "the options must be a table {always=…}, not the number 5",
		`mqtt.subscribe("c", "a/#/b")`:                `mqtt.subscribe: the filter cannot be "a/#/b"`,
	} {
		r := rules(t, `mqtt.on("publish", function() `+call+` end)`)
		r.publish("t", "x")
		r.failedWith(want)
	}
}

// TestVarsAreWalked: pairs walks the variables of a session as they are when it begins.
func TestVarsAreWalked(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m)
		local out = {}
		for name, value in pairs(m.client.vars) do
			out[#out + 1] = name .. "=" .. tostring(value)
			m.client.vars[name] = nil
		end
		m.payload = table.concat(out, " ")
		for _ in pairs(m.client.vars) do m.payload = "left" end
	end)
	mqtt.on("publish", "other", function(m) for _ in pairs(m.client) do end end)`)
	ev := newPublish("a", "")
	for name, x := range map[string]any{"b": 2.0, "a": "x", "c": true} {
		if err := ev.Client.Vars.Set(name, x); err != nil {
			t.Fatal(err)
		}
	}
	r.onPublish(ev)
	r.clean()
	if got := string(ev.Message.Payload); got != "a=x b=2 c=true" {
		t.Errorf("walked %q", got)
	}
	r.publish("other", "")
	r.failedWith("bad argument #1 to pairs")
}

// TestMetricsOfOneName: a set of rules that makes metrics of two kinds of one name is
// refused.
func TestMetricsOfOneName(t *testing.T) {
	for _, second := range []string{`metrics.gauge("a", "h")`, `metrics.histogram("a", "h", {1, 2})`} {
		if got := loadError(t, `metrics.counter("a", "h")`+"\n"+second); !strings.Contains(got, "10.lua:2") || !strings.Contains(got, "there is a counter of that name already") {
			t.Errorf("%s: %s", second, got)
		}
	}
	rules(t, `metrics.counter("a", "h") metrics.counter("a", "h") metrics.histogram("b", "h", {1}) metrics.histogram("b", "h", {1})`).clean()
	loadError(t, `metrics.histogram("b", "h", {1}) metrics.histogram("b", "h", {2})`)
}

// TestCheckRunsLoad: a load handler that fails is found before the set is put in force.
func TestCheckRunsLoad(t *testing.T) {
	got := checked(t, map[string]string{"10.lua": "mqtt.on('load', function()\n  error('boom')\nend)"})
	if len(got) != 1 || !strings.HasPrefix(got[0], "load 10.lua:2: ") || !strings.Contains(got[0], "boom") {
		t.Errorf("found %q", got)
	}
	if got := checked(t, map[string]string{"10.lua": "mqtt.on('load', function(old) kv.set('a', old or 1) end)"}); !slices.Equal(got, []string{}) {
		t.Errorf("found %q", got)
	}
}

// TestTriedOnBehalf: what rules answer in an authentication, and do to subscriptions
// of clients, can be seen in a test.
func TestTriedOnBehalf(t *testing.T) {
	results := tried(t, `
		mqtt.on("authenticate", function(a)
			if a.data == "first" then return mqtt.continue("more") end
			if a.data == "last" then return mqtt.allow("fine") end
			if a.data == "plain" then return mqtt.continue() end
			if a.data == "bad" then return mqtt.deny() end
		end)
		mqtt.on("publish", function(m) mqtt.subscribe("c", "a/#", 1) mqtt.unsubscribe("c", "b") end)`, `
		test("t", function()
			local r = try.authenticate{ method = "m", data = "first" }
			expect(r.verdict):equals("continue"); expect(r.answer):equals("more"); expect(r.data):equals("first")
			r = try.authenticate{ method = "m", data = "plain" }
			expect(r.verdict):equals("continue"); expect(r.answer):is_nil()
			r = try.authenticate{ method = "m", data = "last", step = 2 }
			expect(r):allowed(); expect(r.answer):equals("fine")
			expect(try.authenticate{ method = "m", data = "bad" }):denied()
			expect(try.authenticate{ method = "m", data = "?" }.verdict):equals("pass")
			r = try.publish{ topic = "x" }
			expect(#r.subscribed):equals(1); expect(r.subscribed[1].id):equals("c"); expect(r.subscribed[1].filter):equals("a/#"); expect(r.subscribed[1].qos):equals(1)
			expect(#r.unsubscribed):equals(1); expect(r.unsubscribed[1].filter):equals("b")
		end)`)
	if r := results["t"]; !r.Passed {
		t.Errorf("%+v", r)
	}
}
