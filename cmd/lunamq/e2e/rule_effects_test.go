package e2e

import (
	"fmt"
	"testing"

	"lunamq/core/packet"
)

// TestScriptPublish: what a rule publishes goes out once the event is decided,
// in order, for pass, allow and drop; deny and disconnect discard it unless it
// is always. It meets publish handlers only if asked.
func TestScriptPublish(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"p.lua": `
mqtt.on("publish", "in/+", function(msg)
  for i = 1, 2 do mqtt.publish{ topic = "made/" .. i, payload = msg.level[2], qos = i, content_type = "text/x" } end
  mqtt.publish{ topic = "made/alarm", payload = msg.level[2], qos = 1, always = true }
  mqtt.publish{ topic = "seen/1", payload = "handlers", qos = 1, handlers = true }
  msg.topic = "in/" .. msg.level[2] .. "/done"
  return mqtt[msg.level[2]]()
end)
mqtt.on("publish", "made/#", function(msg) msg.payload = "not asked" end)
mqtt.on("publish", "seen/#", function(msg) msg.payload = msg.payload .. " " .. msg.origin .. " " .. msg.client.id .. " " .. tostring(msg.client.username) end)
mqtt.on("publish", "loop", function(msg) mqtt.publish{ topic = "loop", payload = "x", handlers = true } end)
`}})
	watch := p.connect5(login{})
	granted(t, watch, "#", 2)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		for _, verdict := range []string{"allow", "drop", "deny", "disconnect"} {
			c := p.connect(login{version: v})
			c.send(message{topic: "in/" + verdict, payload: "x", qos: 1})
			switch verdict {
			case "allow":
				expect(t, watch, "in/allow/done x q1")
				fallthrough
			case "drop":
				m := watch.next()
				if m.String() != "made/1 "+verdict+" q1" || m.props.ContentType != "text/x" {
					t.Errorf("got %q %v", m, m.props)
				}
				expect(t, watch, "made/2 "+verdict+" q2", "made/alarm "+verdict+" q1", "seen/1 handlers script $script nil q1")
			case "disconnect":
				expect(t, watch, "made/alarm disconnect q1")
				c.gone()
			default:
				expect(t, watch, "made/alarm deny q1")
			}
		}
	})

	// a rule that answers itself ends after 1 000 messages [limits] messages_per_event
	published(t, watch, message{topic: "loop", payload: "x", qos: 1})
	published(t, watch, message{topic: "barrier", qos: 2})
	n := 0
	for m := watch.next(); m.topic != "barrier"; m = watch.next() {
		n++
	}
	if n != 1001 {
		t.Errorf("a loop made %d messages of one, want 1000 more", n-1)
	}
}

// TestAlarm: a refused login can still be told of.
func TestAlarm(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"a.lua": `
mqtt.on("connect", function(c)
  if c.username ~= "intruder" then return end
  mqtt.publish{ topic = "alarm", payload = "not sent" }
  mqtt.publish{ topic = "alarm", payload = c.username .. " " .. c.password, qos = 1, always = true }
  return mqtt.deny()
end)`}})
	watch := p.connect(login{})
	granted(t, watch, "alarm", 1)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		p.refused(login{version: v, user: "intruder", password: v.String()})
		expect(t, watch, "alarm intruder "+v.String()+" q1")
	})
}

// TestKick: DISCONNECT with the reason, a close in 3.x; for nobody it is nothing.
func TestKick(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"k.lua": `
mqtt.on("publish", "kick/+", function(msg)
  mqtt.kick("nobody")
  mqtt.kick(msg.level[2])
end)
mqtt.on("publish", "why/+",  function(msg) mqtt.kick(msg.level[2], "quota_exceeded", { text = "go" }) end)
mqtt.on("publish", "not/+",  function(msg) mqtt.kick(msg.level[2]); return mqtt.deny() end)
mqtt.on("publish", "but/+",  function(msg) mqtt.kick(msg.level[2], nil, { always = true }); return mqtt.deny() end)
mqtt.on("publish", "bad/+",  function(msg) mqtt.kick(msg.level[2], "banned") end) -- line 9
`}})
	admin := p.connect(login{})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		for _, tt := range []struct {
			order, text string
			code        packet.ReasonCode
		}{{"kick", "", packet.AdministrativeAction}, {"why", "go", packet.QuotaExceeded}, {"but", "", packet.AdministrativeAction}} {
			id := fmt.Sprint(tt.order, "-", v)
			c := p.connect(login{version: v, id: id})
			granted(t, c, "alive", 1)
			admin.publish(message{topic: "not/" + id, qos: 1})
			admin.publish(message{topic: "bad/" + id, qos: 1})
			published(t, admin, message{topic: "alive", qos: 1})
			expect(t, c, "alive  q1") // neither of the two
			admin.publish(message{topic: tt.order + "/" + id, qos: 1})
			if code, text := c.gone(); v == packet.V5 && (code != tt.code || text != tt.text) {
				t.Errorf("%s: %s %q", tt.order, code, text)
			}
		}
	})
	checkErrors(t, p, map[string]string{"k.lua:9": "banned"})
}

// TestVars: they last as long as the session, over handlers, events, reloads
// and connections.
func TestVars(t *testing.T) {
	const rules = `
mqtt.on("connect", function(c) c.vars.version = c.protocol end)
mqtt.on("publish", "count", function(msg)
  local vars = msg.client.vars
  vars.n = (vars.n or 0) + 1
  msg.payload = "%s " .. vars.version .. " " .. vars.n .. " " .. tostring(vars.missing)
end)
mqtt.on("publish", "table", function(msg) msg.client.vars.t = {} end) -- line 8
`
	p := start(t, setup{rules: map[string]string{"v.lua": fmt.Sprintf(rules, "old")}})
	watch := p.connect(login{})
	granted(t, watch, "count", 1)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		keep := login{version: v, id: "v" + v.String(), keep: true}
		c := p.connect(keep)
		count := func(want string) {
			t.Helper()
			published(t, c, message{topic: "count", qos: 1})
			expect(t, watch, "count "+want+" nil q1")
		}
		count("old " + v.String() + " 1")
		c.publish(message{topic: "table", qos: 1}) // vars are strings, numbers and booleans
		p.rule("v.lua", fmt.Sprintf(rules, "new"))
		count("new " + v.String() + " 2")
		c.close()
		p.waitFor("msg=\"client disconnected\" client=" + keep.id + " ")
		c = p.connect(keep)
		count("new " + v.String() + " 3")
		c.close()
		c = p.connect(login{version: v, id: keep.id}) // a clean start is another session
		count("new " + v.String() + " 1")
		p.rule("v.lua", fmt.Sprintf(rules, "old"))
	})
	checkErrors(t, p, map[string]string{"v.lua:8": "vars.t"})
}
