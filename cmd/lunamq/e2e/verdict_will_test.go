package e2e

import (
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

const willRules = `
mqtt.on("will", "w/drop",       function() return mqtt.drop("quiet") end)
mqtt.on("will", "w/deny",       function() return mqtt.deny() end)
mqtt.on("will", "w/false",      function() return false end)
mqtt.on("will", "w/disconnect", function() return mqtt.disconnect() end) -- line 5
mqtt.on("will", "w/fails",      function(msg) msg.payload = "changed"; error("on purpose") end)
mqtt.on("will", { on_error = "pass" }, function(msg) if msg.topic == "w/passes" then msg.payload = "changed"; error("as well") end end)
mqtt.on("will", "w/rewrite", function(msg)
  msg.topic, msg.qos, msg.retain = "w/rewritten", 2, true
  msg.payload = msg.payload .. " " .. msg.reason .. " " .. msg.client.id .. " " .. msg.delay
  msg.user_properties:add("k", "v")
end)
mqtt.on("publish", "w/#", function(msg)
  if msg.origin ~= "will" then return end
  if msg.topic == "w/refused" then return mqtt.deny("quota_exceeded") end
  msg.payload = msg.payload .. " published"
end)
`

// TestWillVerdicts: a will that is denied or dropped does not come, one that is
// rewritten comes so, and all of them are put to publish handlers.
func TestWillVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"w.lua": willRules}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		watch := p.connect(login{})
		granted(t, watch, "w/#", 2)
		die := func(topic string) {
			id := "dies-" + topic + v.String()
			p.connect(login{version: v, id: id, will: &message{topic: topic, payload: "bye", qos: 1}}).kill()
			p.waitFor("msg=\"client disconnected\" client=" + id + " ") // its will has been decided
		}
		for _, topic := range []string{"w/drop", "w/deny", "w/false", "w/disconnect", "w/fails", "w/refused"} {
			die(topic)
		}
		die("w/plain")
		expect(t, watch, "w/plain bye published q1") // none of the others came before
		die("w/passes")
		expect(t, watch, "w/passes bye published q1")
		die("w/rewrite")
		m := watch.next()
		want := "w/rewritten bye unspecified_error dies-w/rewrite" + v.String() + " 0 published q2"
		if m.String() != want || m.user("k") != "v" {
			t.Errorf("got %q with %v, want %q", m, m.props.User, want)
		}
		late := p.connect(login{version: v})
		granted(t, late, "w/rewritten", 2)
		expect(t, late, want+" retained")
		published(t, late, message{topic: "w/rewritten", qos: 1, retain: true})
	})
	checkErrors(t, p, map[string]string{"w.lua:5": "mqtt.disconnect", "w.lua:6": "on purpose", "w.lua:7": "as well"})
}

// TestWillReasons: a will knows why the connection ended, and comes after its
// delay, unless the client is back before [MQTT-3.1.3-9].
func TestWillReasons(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"w.lua": willRules + `
mqtt.on("publish", "leave", function() return mqtt.disconnect("message_rate_too_high") end)
`}})
	watch := p.connect(login{})
	granted(t, watch, "w/#", 2)
	will := &message{topic: "w/rewrite", payload: "bye", qos: 1}

	c := p.connect5(login{id: "a", will: will})
	c.client.Disconnect(&paho.Disconnect{ReasonCode: byte(packet.DisconnectWithWill)})
	expect(t, watch, "w/rewritten bye disconnect_with_will_message a 0 published q2")

	p.connect(login{id: "b", will: will}).send(message{topic: "leave"})
	expect(t, watch, "w/rewritten bye message_rate_too_high b 0 published q2")

	old := p.connect(login{id: "c", will: will})
	p.connect(login{id: "c"})
	if code, _ := old.gone(); code != packet.SessionTakenOver {
		t.Errorf("taken over with %s", code)
	}
	expect(t, watch, "w/rewritten bye session_taken_over c 0 published q2")

	delayed := func(seconds uint32) func(*paho.Connect) {
		return func(c *paho.Connect) { c.WillProperties = &paho.WillProperties{WillDelayInterval: &seconds} }
	}
	p.connect(login{id: "d", keep: true, will: will, more: delayed(1000)}).kill()
	p.waitFor("msg=\"client disconnected\" client=d ")
	p.connect(login{id: "d", keep: true, will: will, more: delayed(1)}).kill() // the first is not sent
	expect(t, watch, "w/rewritten bye unspecified_error d 1 published q2")
}
