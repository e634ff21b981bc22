package e2e

import (
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"lunamq/core/packet"
)

// connectRules answer by user name. Line numbers are part of the test.
const connectRules = `local cases = {
  ["nothing"]    = function() end,
  ["allow"]      = function() return mqtt.allow() end,
  ["true"]       = function() return true end,
  ["deny"]       = function() return mqtt.deny() end,
  ["false"]      = function() return false end,
  ["password"]   = function() return mqtt.deny("bad_user_name_or_password", "try harder") end,
  ["identifier"] = function() return mqtt.deny("client_identifier_not_valid") end,
  ["busy"]       = function() return mqtt.deny("server_busy") end,
  ["number"]     = function() return mqtt.deny(0x88) end,
  ["banned"]     = function() return mqtt.deny("banned") end,
  ["disconnect"] = function() return mqtt.disconnect("not_authorized", "off") end,
  ["moved"]      = function(c) c.reply.server_reference = "elsewhere:1883"; return mqtt.deny("server_moved") end,
  ["drop"]       = function() return mqtt.drop() end, -- line 14
  ["second"]     = function() return true, { client_id = "x" } end,
  ["table"]      = function() return { "ok" } end,
  ["foreign"]    = function() return mqtt.deny("packet_identifier_not_found") end,
  ["unknown"]    = function() return mqtt.deny("not_authorised") end,
  ["fails"]      = function(c) return c.password.x.y end,
  ["field"]      = function(c) c.user_name = "x" end,
}
mqtt.on("connect", function(c)
  local case = cases[c.username]
  if case then return case(c) end
end)
`

// TestConnectVerdicts: CONNACK with the code, in 3.x the nearest one.
func TestConnectVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"c.lua": connectRules}})
	tests := []struct {
		user   string
		v3, v5 packet.ReasonCode // 3.1.1, table 3.1; MQTT 5, table 3-1
		text   string            // the reason string of 5
	}{
		{user: "nothing"}, {user: "allow"}, {user: "true"},
		{"deny", 5, packet.NotAuthorized, ""},
		{"false", 5, packet.NotAuthorized, ""},
		{"password", 4, packet.BadUserNameOrPassword, "try harder"},
		{"identifier", 2, packet.ClientIDNotValid, ""},
		{"busy", 3, packet.ServerBusy, ""},
		{"number", 3, packet.ServerUnavailable, ""},
		{"banned", 5, packet.Banned, ""},
		{"disconnect", 5, packet.NotAuthorized, "off"},
		{"moved", 3, packet.ServerMoved, ""},
		{"drop", 3, packet.UnspecifiedError, ""},
		{"second", 3, packet.UnspecifiedError, ""},
		{"table", 3, packet.UnspecifiedError, ""},
		{"foreign", 3, packet.UnspecifiedError, ""},
		{"unknown", 3, packet.UnspecifiedError, ""},
		{"fails", 3, packet.UnspecifiedError, ""},
		{"field", 3, packet.UnspecifiedError, ""},
	}
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		for _, tt := range tests {
			_, a := p.tryConnect(login{version: v, user: tt.user, password: "secret"})
			want := tt.v3
			if v == packet.V5 {
				want = tt.v5
			}
			if a.code != want {
				t.Errorf("%s: 0x%02x, want 0x%02x", tt.user, byte(a.code), byte(want))
			}
			if v != packet.V5 {
				continue
			}
			if got := a.connack.Properties.ReasonString; got != tt.text {
				t.Errorf("%s: reason string %q, want %q", tt.user, got, tt.text)
			}
			if got := a.connack.Properties.ServerReference; (got == "elsewhere:1883") != (tt.user == "moved") {
				t.Errorf("%s: server reference %q", tt.user, got)
			}
		}
	})
	checkErrors(t, p, map[string]string{
		"c.lua:14": "mqtt.drop",
		"c.lua:22": "returned a second value beside true",
		"c.lua:17": "packet_identifier_not_found",
		"c.lua:18": "not_authorized",
		"c.lua:19": "attempt to index",
		"c.lua:20": "username",
	})
}

// checkErrors wants an error of a rule for each place, with these words in it.
func checkErrors(t *testing.T, p *program, places map[string]string) {
	t.Helper()
	for place, words := range places {
		if line := p.waitFor("by=" + place + " "); !contains(line, "level=ERROR", words) {
			t.Errorf("%s: want an error with %q, the log has\n%s", place, words, line)
		}
	}
}

// TestConnectChanges: what a connect handler leaves is what holds.
func TestConnectChanges(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"c.lua": `
mqtt.on("connect", function(c)
  if c.username ~= "change" then return end
  c.client_id = "renamed-" .. c.client_id
  c.username = "changed"
  if c.protocol == "5" then c.keep_alive = 7 else c.keep_alive = 600 end
  if c.session_expiry > 100 then c.session_expiry = 100 end
  c.vars.protocol = c.protocol
  c.will = nil
  c.reply.user_properties:add("seen", c.client_id)
  c.reply.user_properties:add("from", c.user_properties:get("from") or "nowhere")
  c.reply.response_information = "answers/" .. c.client_id
  c.limits.subscriptions = 1
end)
mqtt.on("publish", "who", function(msg)
  local c = msg.client
  msg.payload = c.id .. " " .. c.username .. " " .. c.protocol .. " " .. c.vars.protocol .. " " .. tostring(c.remote:match("^127.0.0.1:%d+$") ~= nil)
end)`}})
	watch := p.connect(login{})
	granted(t, watch, "#", 1)
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		id := "v" + v.String()
		c, a := p.tryConnect(login{
			version: v, id: id, user: "change", keep: true, will: &message{topic: "will", payload: "stripped", qos: 1},
			more: func(c *paho.Connect) {
				c.Properties.User.Add("from", "afar")
				c.Properties.RequestResponseInfo = true
			},
		})
		published(t, c, message{topic: "who", qos: 1})
		expect(t, watch, "who renamed-"+id+" changed "+v.String()+" "+v.String()+" true q1")
		granted(t, c, "one/+", 1)
		full := packet.QuotaExceeded
		switch v {
		case packet.V311:
			full = packet.UnspecifiedError // 0x80 [MQTT-3.9.3-2 of 3.1.1]
		case packet.V31:
			full = packet.Success // QoS 0 is said to be granted: 3.1 knows no refusal
		}
		if code := c.subscribe("two/+", 1); code != full {
			t.Errorf("a second subscription: 0x%02x, want 0x%02x", byte(code), byte(full))
		}
		if v == packet.V5 {
			checkConnack(t, a.connack)
		}
		c.kill()
		p.waitFor("msg=\"client disconnected\" client=renamed-" + id + " ")
		published(t, watch, message{topic: "barrier", qos: 1})
		expect(t, watch, "barrier  q1")
	})
}

func checkConnack(t *testing.T, ack *paho.Connack) {
	t.Helper()
	pr := ack.Properties
	switch {
	case pr.ServerKeepAlive == nil || *pr.ServerKeepAlive != 7:
		t.Errorf("server keep alive %v, want 7", pr.ServerKeepAlive)
	case pr.SessionExpiryInterval == nil || *pr.SessionExpiryInterval != 100:
		t.Errorf("session expiry %v, want 100", pr.SessionExpiryInterval)
	case pr.ResponseInfo != "answers/renamed-v5":
		t.Errorf("response information %q", pr.ResponseInfo)
	case pr.User.Get("seen") != "renamed-v5" || pr.User.Get("from") != "afar":
		t.Errorf("user properties %v", pr.User)
	}
}

// TestDefaultDeny: where nobody allows, nothing is allowed; an allow counts for
// what its handler's filter covers, and no allow overrides a deny.
func TestDefaultDeny(t *testing.T) {
	p := start(t, setup{config: "[auth]\ndefault = \"deny\"\n[scripting]\n", rules: map[string]string{
		"1.lua": `
mqtt.on("connect",   function(c) if c.username == "ann" then return mqtt.allow() end end)
mqtt.on("publish",   "ok/#", function() return mqtt.allow() end)
mqtt.on("subscribe", "ok/#", function() return true end)
mqtt.on("publish",   "changed/+", function(msg) msg.topic = "no/1"; return mqtt.allow() end)`,
		"2.lua": `
mqtt.on("publish",   "+/+/secret", function() return mqtt.deny("topic_name_invalid") end)
mqtt.on("subscribe", "+/secret", function() return mqtt.deny("topic_filter_invalid") end)`,
	}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		refused, plain := packet.NotAuthorized, packet.TopicFilterInvalid
		if v != packet.V5 {
			refused, plain = 5, packet.UnspecifiedError
		}
		if a := p.refused(login{version: v}); a.code != refused {
			t.Errorf("nobody: 0x%02x, want 0x%02x", byte(a.code), byte(refused))
		}
		ann := func(will *message) peer { return p.connect(login{version: v, user: "ann", will: will}) }
		c, watch := ann(nil), ann(nil)
		if v == packet.V5 {
			checkCodes5(t, c.(*peer5), plain)
		}
		granted(t, watch, "ok/1", 1)
		granted(t, watch, "ok/w/#", 1)
		for _, f := range []string{"#", "+/1", "no/1"} { // overlaps are no opinion
			if code := watch.subscribe(f, 0); !code.IsError() && v != packet.V31 {
				t.Errorf("subscribe %s: 0x%02x", f, byte(code))
			}
		}
		published(t, c, message{topic: "changed/1", payload: "allowed", qos: 1})
		published(t, c, message{topic: "ok/1", payload: "allowed", qos: 1})
		expect(t, watch, "ok/1 allowed q1")
		for _, topic := range []string{"no/will", "ok/w/secret"} {
			id := "ann-" + topic + "-" + v.String()
			p.connect(login{version: v, id: id, user: "ann", will: &message{topic: topic, payload: "refused", qos: 1}}).kill()
			p.waitFor("msg=\"client disconnected\" client=" + id + " ") // its will has been decided
		}
		ann(&message{topic: "ok/w/x", payload: "seen", qos: 1}).kill()
		expect(t, watch, "ok/w/x seen q1")
	})
}

func checkCodes5(t *testing.T, c *peer5, deniedFilter packet.ReasonCode) {
	t.Helper()
	for topic, want := range map[string]packet.ReasonCode{
		"no/1": packet.NotAuthorized, "ok/w/secret": packet.TopicNameInvalid, "ok/2": packet.NoMatchingSubscribers,
	} {
		if code, _ := c.publish(message{topic: topic, qos: 1}); code != want {
			t.Errorf("publish %s: %s, want %s", topic, code, want)
		}
	}
	codes := c.subscribeWith(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "ok/secret"}, {Topic: "ok/+", QoS: 2}, {Topic: "#"}}})
	if codes[0] != deniedFilter || codes[1] != deniedFilter || codes[2] != deniedFilter {
		t.Errorf("ok/secret, ok/+ and # overlap +/secret: %v", codes)
	}
	if code := c.subscribe("no/1", 0); code != packet.NotAuthorized {
		t.Errorf("subscribe no/1: %s", code)
	}
	if code := c.subscribe("ok/1/#", 2); code != packet.GrantedQoS2 {
		t.Errorf("subscribe ok/1/#: %s", code)
	}
}
