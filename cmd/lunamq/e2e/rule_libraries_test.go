package e2e

import (
	"fmt"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

// libraryRules answer on lib/<name> with what a library says.
const libraryRules = `
local shout = require("shout")
local limiter = rate.limiter(0.0001, 2)
local hashes = {
  bcrypt = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
  argon  = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
}
local calls = {
  kv     = function(x) kv.set("last", x); return kv.incr("n") .. " " .. kv.get("last") .. " " .. tostring(kv.get("none")) end,
  ttl    = function(x) kv.set("brief", x, 1000); return tostring(kv.get("brief")) .. " " .. tostring(kv.add("brief", "other")) end,
  json   = function(x) local t = json.decode(x); t.sum = t.a + t.b; return json.encode(t) end,
  round  = function(x) return json.encode(json.decode(x)) end,
  time   = function() return time.format(0) .. " " .. time.parse("1970-01-01T00:01:00Z") .. " " .. tostring(time.now() > 1e9 and time.mono() >= 0) end,
  rate   = function(x) return tostring(limiter:allow(x)) end,
  bcrypt = function(x) return tostring(crypto.verify_password(x, hashes.bcrypt)) end,
  argon  = function(x) return tostring(crypto.verify_password(x, hashes.argon)) end,
  equal  = function(x) return tostring(crypto.equal(x, "secret")) end,
  match  = function(x) return tostring(mqtt.match("a/+/#", x)) end,
  log    = function(x) log.warn("look here", { what = x }); return "logged" end,
  const  = function() return mqtt.node .. " " .. type(mqtt.version) .. " " .. mqtt.generation end,
  require = function(x) return shout(x) end,
}
mqtt.on("publish", "lib/+", function(msg) msg.payload = calls[msg.level[2]](msg.payload) end)
`

// TestLibraries: what rules are given, through a message.
func TestLibraries(t *testing.T) {
	p := start(t, setup{config: "node = \"here\"\n", rules: map[string]string{
		"l.lua":         libraryRules,
		"lib/shout.lua": "return function(x) return x:upper() .. '!' end\n",
	}})
	c := p.connect(login{})
	granted(t, c, "lib/#", 1)
	ask := func(name, payload, want string) {
		t.Helper()
		published(t, c, message{topic: "lib/" + name, payload: payload, qos: 1})
		expect(t, c, "lib/"+name+" "+want+" q1")
	}
	tests := [][3]string{
		{"kv", "a", "1 a nil"},
		{"kv", "b", "2 b nil"},
		{"ttl", "x", "x false"},
		{"json", `{"a":1,"b":2}`, `{"a":1,"b":2,"sum":3}`},
		{"round", `[1.0,{"big":342161316540874753},null,[],{}]`, `[1.0,{"big":342161316540874753},null,[],{}]`},
		{"time", "", "1970-01-01T00:00:00Z 60 true"},
		{"rate", "k", "true"}, {"rate", "k", "true"}, {"rate", "k", "false"}, {"rate", "other", "true"},
		{"bcrypt", "correct horse", "true"}, {"bcrypt", "wrong", "false"},
		{"argon", "password", "true"}, {"argon", "passwort", "false"},
		{"equal", "secret", "true"}, {"equal", "secret2", "false"},
		{"match", "a/b", "true"}, {"match", "a", "false"}, {"match", "a/b/c/d", "true"},
		{"log", "this", "logged"},
		{"const", "", "here string 1"},
		{"require", "hey", "HEY!"},
	}
	for _, tt := range tests {
		ask(tt[0], tt[1], tt[2])
	}
	if line := p.waitFor("look here"); !contains(line, "level=WARN", "what=this", "l.lua:") {
		t.Errorf("the log says %s", line)
	}
	p.rule("l.lua", libraryRules+"-- changed\n")
	ask("kv", "c", "3 c nil") // kv outlives the generation, and so do the limiter's tokens
	ask("rate", "k", "false")
	ask("const", "", "here string 2")
}

// TestLimits: the bounds that a connect handler gives to a client.
func TestLimits(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"l.lua": `
mqtt.on("connect", function(c)
  local l = c.limits
  if c.username == "rate"     then l.publish_rate  = 0.0001 end
  if c.username == "bytes"    then l.publish_bytes = 0.0001 end
  if c.username == "size"     then l.packet_size   = 100 end
  if c.username == "queued"   then l.queued        = 2 end
  if c.username == "inflight" then l.inflight      = 2 end
end)
mqtt.on("dropped", function(msg)
  if msg.cause == "queue_full" then mqtt.publish{ topic = "lost", payload = msg.payload .. " of " .. msg.client.id, qos = 1 } end
end)`}})
	watch := p.connect(login{})
	granted(t, watch, "#", 1)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		for _, user := range []string{"rate", "bytes"} {
			c := p.connect(login{version: v, user: user})
			published(t, c, message{topic: "first", payload: "a", qos: 1})
			code, _ := c.publish(message{topic: "second", payload: "b", qos: 1})
			if want := map[packet.Version]packet.ReasonCode{packet.V5: packet.QuotaExceeded}[v]; code != want {
				t.Errorf("%s: %s, want %s", user, code, want)
			}
			expect(t, watch, "first a q1")
			published(t, watch, message{topic: "barrier", qos: 1})
			expect(t, watch, "barrier  q1")
		}

		c, a := p.tryConnect(login{version: v, user: "size"})
		if v == packet.V5 && (a.connack.Properties.MaximumPacketSize == nil || *a.connack.Properties.MaximumPacketSize != 100) {
			t.Errorf("maximum packet size %v", a.connack.Properties.MaximumPacketSize)
		}
		c.send(message{topic: "large", payload: fmt.Sprintf("%0100d", 1), qos: 1})
		if code, _ := c.gone(); v == packet.V5 && code != packet.PacketTooLarge {
			t.Errorf("too large: %s", code)
		}

		keep := login{version: v, id: "q" + v.String(), user: "queued", keep: true}
		c = p.connect(keep)
		granted(t, c, "queue/"+v.String(), 1)
		c.close()
		p.waitFor("msg=\"client disconnected\" client=" + keep.id + " ")
		for i := range 3 {
			published(t, watch, message{topic: "queue/" + v.String(), payload: fmt.Sprint(i), qos: 1})
			expect(t, watch, fmt.Sprintf("queue/%s %d q1", v, i))
		}
		expect(t, watch, "lost 2 of "+keep.id+" q1")
		expect(t, p.connect(keep), "queue/"+v.String()+" 0 q1", "queue/"+v.String()+" 1 q1")
		checkInflight(t, p, watch, v)
	})
}

// checkInflight: no more than so many messages wait for their acknowledgement.
func checkInflight(t *testing.T, p *program, pub peer, v packet.Version) {
	s := openSocket(t, p.addr("local"))
	s.connect(&packet.Connect{Version: v, CleanStart: true, ClientID: "i" + v.String(), HasUsername: true, Username: "inflight"})
	s.subscribe(1, "flight")
	for i := range 3 {
		published(t, pub, message{topic: "flight", payload: fmt.Sprint(i), qos: 1})
		expect(t, pub, fmt.Sprintf("flight %d q1", i))
	}
	var first packet.Publish
	for i := range 2 {
		var m packet.Publish
		s.expect(packet.PUBLISH, &m)
		if string(m.Payload) != fmt.Sprint(i) {
			t.Errorf("message %d is %s", i, m.Payload)
		}
		if i == 0 {
			first.PacketID = m.PacketID
		}
	}
	s.ping() // the third waits
	s.send((&packet.Ack{Type: packet.PUBACK, PacketID: first.PacketID}).Append(nil, v))
	var m packet.Publish
	s.expect(packet.PUBLISH, &m)
	if string(m.Payload) != "2" {
		t.Errorf("after PUBACK came %s", m.Payload)
	}
}

// TestStrictFields: a field that is not there, or not to be written, is an
// error that names the place and the nearest field.
func TestStrictFields(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"f.lua": `
mqtt.on("publish", "f/read",  function(msg) return msg.paylod end)
mqtt.on("publish", "f/write", function(msg) msg.Topic = "x" end)
mqtt.on("publish", "f/ro",    function(msg) msg.dup = true end)
mqtt.on("publish", "f/level", function(msg) msg.level[1] = "x" end)
mqtt.on("publish", "f/client", function(msg) msg.client.id = "x" end)
mqtt.on("publish", "f/lib",   function(msg) json.decode = nil end)
mqtt.on("publish", "f/global", function(msg) counter = 1 end)
mqtt.on("publish", "f/nil",   function(msg) msg.payload = nil end)
mqtt.on("publish", "f/user",  function(msg) msg.user_properties = { 1, 2 } end)
mqtt.on("publish", "f/ok",    function(msg) msg.user_properties = { { "a", "1" }, { "a", "2" } }; msg.user_properties:remove("b") end)
`}})
	c := p.connect5(login{})
	granted(t, c, "f/#", 1)
	for i, topic := range []string{"f/read", "f/write", "f/ro", "f/level", "f/client", "f/lib", "f/global", "f/nil", "f/user"} {
		if code, _ := c.publish(message{topic: topic, qos: 1, payload: "x"}); code != packet.UnspecifiedError {
			t.Errorf("%s: %s", topic, code)
		}
		p.waitFor(fmt.Sprintf("by=f.lua:%d ", i+2))
	}
	checkErrors(t, p, map[string]string{"f.lua:2": "payload", "f.lua:3": "topic", "f.lua:4": "read-only", "f.lua:7": "read-only", "f.lua:8": "local"})
	published(t, c, message{topic: "f/ok", qos: 1, props: &paho.PublishProperties{User: paho.UserProperties{{Key: "b", Value: "old"}}}})
	if m := c.next(); m.topic != "f/ok" || len(m.props.User) != 2 || m.props.User[1].Value != "2" {
		t.Errorf("got %q %v", m, m.props.User)
	}
}
