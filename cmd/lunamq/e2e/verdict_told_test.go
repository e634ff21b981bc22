package e2e

import (
	"fmt"
	"testing"

	"lunamq/core/packet"
)

// toldRules tell of everything on told/…, after handlers that return what
// nobody may return there.
const toldRules = `
for _, event in ipairs{ "connected", "disconnected", "subscribed", "unsubscribed", "dropped" } do
  for _, verdict in ipairs{ "allow", "deny", "drop", "disconnect" } do
    mqtt.on(event, function(ev)
      mqtt.publish{ topic = "told/never", payload = event .. " " .. verdict }
      return mqtt[verdict]() -- line 6
    end)
  end
end
local function tell(event, text)
  mqtt.on(event, function(ev)
    if ev.client.id == "watch" then return end
    mqtt.publish{ topic = "told/" .. event, payload = text(ev), qos = 1 }
  end)
end
tell("connected",    function(ev) return ev.client.id .. " " .. tostring(ev.session_present) end)
tell("disconnected", function(ev) return ev.client.id .. " " .. ev.reason .. " by " .. ev.by .. " will " .. tostring(ev.will) end)
tell("subscribed",   function(ev) return ev.client.id .. " " .. ev.filter .. " " .. ev.qos end)
tell("unsubscribed", function(ev) return ev.client.id .. " " .. ev.filter .. " " .. ev.qos end)
mqtt.on("publish", "refuse", function(msg) return mqtt.deny() end)
mqtt.on("dropped", "lost/#", function(msg)
  mqtt.publish{ topic = "told/dropped", payload = msg.topic .. " " .. msg.payload .. " " .. msg.cause .. " of " .. msg.publisher.id .. " for " .. tostring(msg.client.id), qos = 1 }
end)
`

// TestToldEvents: they are told after the fact; a verdict is a script error, and
// the broker and the other handlers go on.
func TestToldEvents(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"t.lua": toldRules}})
	watch := p.connect(login{id: "watch"})
	granted(t, watch, "told/#", 1)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		id := "v" + v.String()
		c := p.connect(login{version: v, id: id, will: &message{topic: "x", payload: "y"}})
		expect(t, watch, "told/connected "+id+" false q1")
		granted(t, c, "a/+", 1)
		expect(t, watch, "told/subscribed "+id+" a/+ 1 q1")
		c.unsubscribe("a/+")
		expect(t, watch, "told/unsubscribed "+id+" a/+ 1 q1")
		published(t, c, message{topic: "lost/1", payload: "x", qos: 1})
		expect(t, watch, "told/dropped lost/1 x no_subscriber of "+id+" for nil q1")
		c.close()
		expect(t, watch, "told/disconnected "+id+" normal_disconnection by client will discarded q1")

		keep := login{version: v, id: id, keep: true, will: &message{topic: "x", payload: "y"}}
		c = p.connect(keep)
		expect(t, watch, "told/connected "+id+" false q1")
		granted(t, c, "lost/#", 1)
		expect(t, watch, "told/subscribed "+id+" lost/# 1 q1")
		c.kill()
		expect(t, watch, "told/disconnected "+id+" unspecified_error by network will sent q1")
		published(t, watch, message{topic: "lost/2", payload: "x"})
		expect(t, watch, "told/dropped lost/2 x offline_qos0 of watch for "+id+" q1")
		second := p.connect(keep)
		expect(t, watch, "told/connected "+id+" true q1")
		third := p.connect(keep)
		expect(t, watch, "told/disconnected "+id+" session_taken_over by takeover will sent q1", "told/connected "+id+" true q1")
		second.gone()
		third.close()
		expect(t, watch, "told/disconnected "+id+" normal_disconnection by client will discarded q1")
		p.connect(login{version: v, id: id}).close() // ends the session
		expect(t, watch, "told/connected "+id+" false q1", "told/disconnected "+id+" normal_disconnection by client will nil q1")
	})
	checkErrors(t, p, map[string]string{"t.lua:6": "no verdict for connected"})
}

// TestOnError: what a failed handler comes to, for all and for one, and what
// it did before it failed is taken back.
func TestOnError(t *testing.T) {
	const rules = `
mqtt.on("publish", "default/#",                     function(msg) msg.payload = "changed"; mqtt.publish{ topic = "effect" }; error("one") end)
mqtt.on("publish", "deny/#", { on_error = "deny" }, function(msg) msg.payload = "changed"; mqtt.publish{ topic = "effect" }; error("two") end)
mqtt.on("publish", "pass/#", { on_error = "pass" }, function(msg) msg.payload = "changed"; mqtt.publish{ topic = "effect" }; error("three") end)
mqtt.on("publish", "slow/#", { budget = 1000 },     function(msg) while true do end end) -- line 5
mqtt.on("publish", "always/#", function(msg) mqtt.publish{ topic = "alarm", payload = msg.topic, qos = 1, always = true }; error("four") end)
`
	tests := []struct {
		config string
		passed map[string]bool
	}{
		{"", map[string]bool{"pass": true}},
		{"[scripting]\non_error = \"pass\"\n", map[string]bool{"default": true, "pass": true, "slow": true, "always": true}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q", tt.config), func(t *testing.T) {
			p := start(t, setup{config: tt.config, rules: map[string]string{"e.lua": rules}})
			eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
				c, watch := p.connect(login{version: v}), p.connect(login{})
				granted(t, watch, "#", 1)
				for _, name := range []string{"default", "deny", "pass", "slow", "always"} {
					code, _ := c.publish(message{topic: name + "/x", payload: "unchanged", qos: 1})
					if code.IsError() != (v == packet.V5 && !tt.passed[name]) {
						t.Errorf("%s: %s", name, code)
					}
					if tt.passed[name] {
						expect(t, watch, name+"/x unchanged q1")
					}
					if name == "always" {
						expect(t, watch, "alarm always/x q1")
					}
					published(t, c, message{topic: "barrier", payload: name, qos: 1})
					expect(t, watch, "barrier "+name+" q1")
				}
			})
			checkErrors(t, p, map[string]string{"e.lua:2": "one", "e.lua:3": "two", "e.lua:4": "three", "e.lua:5": "budget", "e.lua:6": "four"})
			if tt.config != "" {
				p.waitFor("on_error = \\\"pass\\\"") // what is unsafe is said at start
			}
		})
	}
}
