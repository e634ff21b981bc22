package e2e

import (
	"testing"

	"lunamq/core/packet"
)

const deliverRules = `
mqtt.on("deliver", "d/drop",  function(msg) if msg.client.id:find("^poor") then return mqtt.drop() end end)
mqtt.on("deliver", "d/deny",  function(msg) if msg.client.id:find("^poor") then return mqtt.deny() end end)
mqtt.on("deliver", "d/false", function(msg) if msg.client.id:find("^poor") then return false end end)
mqtt.on("deliver", "d/fails", function(msg) msg.payload = "changed"; error("on purpose") end) -- line 5
mqtt.on("deliver", "d/raise", function(msg) msg.qos = 2 end)
mqtt.on("deliver", "d/lower", function(msg) if msg.client.id:find("^poor") then msg.qos = 0 end end)
mqtt.on("deliver", "d/rewrite", function(msg)
  if not msg.client.id:find("^poor") then return end
  msg.topic, msg.payload = "d/for/" .. msg.client.protocol, msg.payload .. " by " .. msg.subscription.filter .. " " .. msg.subscription.qos
  msg.user_properties:add("for", msg.client.id)
end)
mqtt.on("deliver", "d/disconnect", function(msg) if msg.client.id:find("^poor") then return mqtt.disconnect("quota_exceeded", "no more") end end)
`

// TestDeliverVerdicts: what a rule says of a delivery holds for that receiver
// alone, also of retained messages.
func TestDeliverVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"d.lua": deliverRules}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		rich, poor, pub := p.connect(login{version: v}), p.connect(login{version: v, id: "poor" + v.String()}), p.connect(login{})
		granted(t, rich, "d/+", 1)
		granted(t, poor, "d/#", 1)
		for _, topic := range []string{"d/drop", "d/deny", "d/false"} {
			published(t, pub, message{topic: topic, payload: "x", qos: 1})
			expect(t, rich, topic+" x q1")
		}
		published(t, pub, message{topic: "d/fails", payload: "unchanged", qos: 1}) // the message goes on
		published(t, pub, message{topic: "d/raise", payload: "unchanged", qos: 1})
		published(t, pub, message{topic: "d/lower", payload: "x", qos: 1})
		published(t, pub, message{topic: "d/rewrite", payload: "x", qos: 1})
		expect(t, rich, "d/fails unchanged q1", "d/raise unchanged q1", "d/lower x q1", "d/rewrite x q1")
		expect(t, poor, "d/fails unchanged q1", "d/raise unchanged q1", "d/lower x")
		m := poor.next()
		if want := "d/for/" + v.String() + " x by d/# 1 q1"; m.String() != want || v == packet.V5 && m.user("for") != "poor5" {
			t.Errorf("got %q, want %q", m, want)
		}

		published(t, pub, message{topic: "d/drop", payload: "kept", qos: 1, retain: true})
		granted(t, poor, "d/drop", 1) // its retained message is dropped on the way
		granted(t, rich, "d/drop", 1)
		expect(t, rich, "d/drop kept q1", "d/drop kept q1 retained")

		published(t, pub, message{topic: "d/disconnect", payload: "x", qos: 1})
		expect(t, rich, "d/disconnect x q1")
		if code, text := poor.gone(); v == packet.V5 && (code != packet.QuotaExceeded || text != "no more") {
			t.Errorf("disconnected with %s %q", code, text)
		}
		published(t, pub, message{topic: "d/drop", qos: 1, retain: true})
	})
	checkErrors(t, p, map[string]string{"d.lua:5": "on purpose", "d.lua:6": "lowered"})
}

// TestDeliverShared: a shared message that is dropped on delivery is settled: it
// does not go to another member, not even when its receiver leaves.
func TestDeliverShared(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"d.lua": `
local asked = 0
mqtt.on("deliver", "job/#", function(msg)
  asked = asked + 1
  mqtt.publish{ topic = "asked", payload = tostring(asked) }
  if msg.topic == "job/drop" then return mqtt.drop() end
end)`}})
	watch, a, b := p.connect(login{}), p.connect(login{id: "a"}), p.connect(login{})
	granted(t, watch, "asked", 0)
	granted(t, a, "$share/g/job/+", 1)
	granted(t, b, "$share/g/job/+", 1)
	published(t, watch, message{topic: "job/drop", qos: 1})
	expect(t, watch, "asked 1")
	published(t, watch, message{topic: "job/drop", qos: 1})
	expect(t, watch, "asked 2")
	a.kill()
	p.waitFor("msg=\"client disconnected\" client=a ")
	published(t, watch, message{topic: "job/x", qos: 1})
	expect(t, b, "job/x  q1")
	expect(t, watch, "asked 3")
}

// TestDeliverQueued: formerly queued messages are put to deliver, too, when
// they leave the queue, by the rules that are in force then.
func TestDeliverQueued(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"d.lua": ``}})
	keep := login{version: packet.V311, id: "sleeper", keep: true}
	c := p.connect(keep)
	granted(t, c, "q/#", 1)
	c.close()
	p.waitFor("msg=\"client disconnected\" client=sleeper ")
	pub := p.connect(login{})
	for _, payload := range []string{"1", "2", "3"} {
		published(t, pub, message{topic: "q/x", payload: payload, qos: 1})
	}
	p.rule("d.lua", `mqtt.on("deliver", "q/#", function(msg)
		if msg.payload == "2" then return mqtt.drop() end
		msg.payload = "late " .. msg.payload
	end)`)
	expect(t, p.connect(keep), "q/x late 1 q1", "q/x late 3 q1")
}
