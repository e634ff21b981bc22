package scripting

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

func fullMessage() *core.Message {
	return &core.Message{
		Topic: "a/b/c", Payload: []byte("p\x00\xff"), QoS: 1, Retain: true, Dup: true,
		HasPayloadFormat: true, HasExpiry: true, HasContentType: true, HasResponseTopic: true, HasCorrelationData: true,
		PayloadFormat: 1, Expiry: 60, ContentType: "text/plain", ResponseTopic: "re/ply", CorrelationData: []byte{1, 2},
		UserProperties: []packet.UserProperty{{Key: "k", Value: "1"}, {Key: "j", Value: "2"}, {Key: "k", Value: "3"}},
	}
}

// readMessage asserts what fullMessage holds.
const readMessage = `
local function readMessage(m)
	assert(m.topic == "a/b/c" and m.level[1] == "a" and m.level[2] == "b" and m.level[3] == "c" and m.level[4] == nil and m.level[0] == nil and m.level[1.5] == nil)
	assert(#m.level == 3)
	assert(m.payload == "p\0\255" and m.qos == 1 and m.retain == true and m.dup == true)
	assert(m.expiry == 60 and m.content_type == "text/plain" and m.payload_format == 1)
	assert(m.response_topic == "re/ply" and m.correlation_data == "\1\2")
	local p = m.user_properties
	assert(p == m.user_properties and #p == 3)
	assert(p:get("k") == "1" and p:get("j") == "2" and p:get("none") == nil)
	local all = p:all("k")
	assert(#all == 2 and all[1] == "1" and all[2] == "3" and #p:all("none") == 0)
	local seen = ""
	for k, v in p:each() do seen = seen .. k .. v .. " " end
	assert(seen == "k1 j2 k3 ")
end
`

func TestPublishFields(t *testing.T) {
	r := rules(t, readMessage+`
mqtt.on("publish", function(m)
	readMessage(m)
	assert(m.origin == "will")
	local c = m.client
	assert(c == m.client)
	assert(c.id == "gw-7" and c.username == "ann" and c.remote == "192.0.2.1:5000" and c.listener == "main" and c.protocol == "5")
	assert(c.connected_at == 1600000000 and c.mount == "t1/" and c.tls == nil)
	assert(c.vars.role == nil)
	c.vars.role = "admin"; c.vars.n = 1.5; c.vars.ok = true
	assert(c.vars.role == "admin" and c.vars.n == 1.5 and c.vars.ok == true)
	c.vars.n = nil
	assert(c.vars.n == nil)
	return true
end)`)
	ev := &core.PublishEvent{Client: testClient(packet.V5), Message: fullMessage()}
	ev.Message.Origin = core.OriginWill
	if d := r.onPublish(ev); d.Verdict != core.Allow {
		t.Errorf("%+v", d)
	}
	if got := ev.Client.Vars.All(); !reflect.DeepEqual(got, map[string]any{"role": "admin", "ok": true}) {
		t.Errorf("vars %v", got)
	}
	r.clean()
}

func TestWriteMessage(t *testing.T) {
	r := rules(t, `
mqtt.on("publish", "a/#", function(m)
	m.topic = "x/y"; assert(m.level[2] == "y")
	m.payload = "new\0"; m.qos = 2; m.retain = false
	m.expiry = 4294967295; m.content_type = "ct"; m.payload_format = 0
	m.response_topic = "r"; m.correlation_data = "\255"
	local p = m.user_properties
	p:add("new", "4"); p:set("k", "5"); assert(p:remove("j") == 1 and p:remove("none") == 0)
	return true
end)
mqtt.on("publish", "clear", function(m)
	m.payload = ""; m.expiry = nil; m.content_type = nil; m.payload_format = nil; m.response_topic = nil
	m.correlation_data = nil; m.user_properties = nil
	assert(m.expiry == nil and m.content_type == nil and m.payload_format == nil and m.response_topic == nil and m.correlation_data == nil)
	assert(#m.user_properties == 0)
	return true
end)
mqtt.on("publish", "list", function(m) m.user_properties = {{"z", "1"}, {"a", "2"}, {"z", "3"}} end)
mqtt.on("publish", "named", function(m) m.user_properties = {z = "1", a = "2"} end)
mqtt.on("publish", "same", function(m) local p = m.user_properties; m.user_properties = p; p:set("fresh", "1") end)
`)
	ev := &core.PublishEvent{Client: testClient(packet.V5), Message: fullMessage()}
	lent := ev.Message.UserProperties
	if d := r.onPublish(ev); d.Verdict != core.Allow {
		t.Fatalf("%+v %q", d, r.log.errors())
	}
	m := ev.Message
	if m.Topic != "x/y" || string(m.Payload) != "new\x00" || m.QoS != 2 || m.Retain || m.Expiry != math.MaxUint32 || m.ContentType != "ct" ||
		!m.HasPayloadFormat || m.PayloadFormat != 0 || m.ResponseTopic != "r" || !bytes.Equal(m.CorrelationData, []byte{255}) {
		t.Errorf("%+v", m)
	}
	if want := []packet.UserProperty{{Key: "k", Value: "5"}, {Key: "new", Value: "4"}}; !reflect.DeepEqual(m.UserProperties, want) {
		t.Errorf("properties %v", m.UserProperties)
	}
	if lent[0].Value != "1" || lent[1].Key != "j" {
		t.Errorf("the lent properties were written to: %v", lent)
	}
	for topic, want := range map[string][]packet.UserProperty{
		"list":  {{Key: "z", Value: "1"}, {Key: "a", Value: "2"}, {Key: "z", Value: "3"}},
		"named": {{Key: "a", Value: "2"}, {Key: "z", Value: "1"}},
		"same":  {{Key: "k", Value: "1"}, {Key: "j", Value: "2"}, {Key: "k", Value: "3"}, {Key: "fresh", Value: "1"}},
	} {
		ev.Message = fullMessage()
		ev.Message.Topic = topic
		if r.onPublish(ev); !reflect.DeepEqual(ev.Message.UserProperties, want) {
			t.Errorf("%s: %v", topic, ev.Message.UserProperties)
		}
	}
	ev.Message = fullMessage()
	ev.Message.Topic = "clear"
	if d := r.onPublish(ev); d.Verdict != core.Allow {
		t.Errorf("clear: %+v", d)
	}
	if m := ev.Message; m.HasExpiry || m.HasContentType || m.HasPayloadFormat || m.HasResponseTopic || m.HasCorrelationData || m.UserProperties != nil {
		t.Errorf("clear left %+v", m)
	}
	r.clean()
}

// refusal runs one statement in a handler that is to fail with it, and holds
// that nothing of the event changed.
func refusal(t *testing.T, event, statement, want string) {
	t.Helper()
	r := rules(t, `mqtt.on("`+event+`", function(ev) `+statement+` end)`)
	before, after := fireOne(t, r, event)
	lines := r.log.errors()
	if len(lines) != 1 || !strings.Contains(lines[0], want) || !strings.Contains(lines[0], "by=10.lua:1") {
		t.Errorf("%s: %s\nlogged %q\n  want %s", event, statement, lines, want)
	}
	if before != after {
		t.Errorf("%s: %s changed the event\nfrom %s\nto   %s", event, statement, before, after)
	}
}

func TestRefusedFields(t *testing.T) {
	for _, c := range []struct{ event, statement, want string }{
		{"publish", `ev.topic = "a/+"`, `publish event: topic cannot be "a/+": topic name contains a wildcard`},
		{"publish", `ev.topic = ""`, "topic name is empty"},
		{"publish", `ev.topic = "a\0"`, "is not valid UTF-8 without U+0000"},
		{"publish", `ev.topic = "\237\160\128"`, "is not valid UTF-8"},
		{"publish", `ev.topic = ("a"):rep(65536)`, "has 65536 bytes, at most 65535"},
		{"publish", `ev.topic = 5`, "topic must be a string, not the number 5: write tostring"},
		{"publish", `ev.topic = nil`, "topic must be a string, not nil"},
		{"publish", `ev.payload = 5`, "payload must be a string, not the number 5"},
		{"publish", `ev.payload = {}`, "payload must be a string, not a table"},
		{"publish", `ev.qos = 3`, "qos must be a whole number from 0 to 2, not 3"},
		{"publish", `ev.qos = 0.5`, "qos must be a whole number"},
		{"publish", `ev.qos = "1"`, `qos must be a number, not the string "1"`},
		{"publish", `ev.qos = 0/0`, "qos must be a whole number"},
		{"publish", `ev.retain = 1`, "retain must be true or false, not the number 1"},
		{"publish", `ev.dup = true`, "publish event: dup is read-only"},
		{"publish", `ev.level = {}`, "level is read-only"},
		{"publish", `ev.level[1] = "x"`, "level is read-only: assign the whole topic"},
		{"publish", `local x = ev.level.x`, "level is indexed by a number"},
		{"publish", `ev.expiry = -1`, "expiry must be a whole number from 0 to 4294967295"},
		{"publish", `ev.expiry = 4294967296`, "expiry must be a whole number"},
		{"publish", `ev.content_type = "\255"`, "content_type is not valid UTF-8"},
		{"publish", `ev.payload_format = 2`, "payload_format must be a whole number from 0 to 1"},
		{"publish", `ev.response_topic = "a/#"`, `response_topic cannot be "a/#"`},
		{"publish", `ev.correlation_data = ("x"):rep(65536)`, "correlation_data has 65536 bytes"},
		{"publish", `ev.user_properties = "x"`, "user_properties must be a list"},
		{"publish", `ev.user_properties = {{"a"}}`, "[1] must be {name, value}"},
		{"publish", `ev.user_properties = {{"a", "b"}, x = "y"}`, "mixes a list with named entries"},
		{"publish", `ev.user_properties = {a = 1}`, `"a" must be a string`},
		{"publish", `ev.user_properties:add("a")`, "user_properties: value must be a string, not nil"},
		{"publish", `ev.user_properties:add("a", "\0")`, "value is not valid UTF-8"},
		{"publish", `ev.user_properties:set(1, "a")`, "name must be a string"},
		{"publish", `for i = 1, 1001 do ev.user_properties:add("a", "b") end`, "would have 1001 properties, at most 1000"},
		{"publish", `local x = ev.user_properties.k`, `a property is read with p:get("k")`},
		{"publish", `ev.user_properties.k = "v"`, "write p:set(name, value)"},
		{"publish", `ev.user_properties.get("k")`, "call it with a colon"},
		{"publish", `local x = ev.topik`, `publish event has no field "topik" (did you mean "topic"?)`},
		{"publish", `ev.topik = "x"`, `publish event has no field "topik" (did you mean "topic"?)`},
		{"publish", `local x = ev[1]`, "publish event has no field [the number 1]"},
		{"publish", `ev.client = nil`, "publish event: client is read-only"},
		{"publish", `ev.client.id = "x"`, "client: id is read-only"},
		{"publish", `local x = ev.client.user`, `client has no field "user"`},
		{"publish", `ev.client.vars.x = {}`, "vars.x must be a string, a number, a boolean or nil, not a table"},
		{"publish", `ev.client.vars.x = ("x"):rep(2000)`, "vars.x has 2000 bytes"},
		{"publish", `ev.client.vars[1] = 1`, "vars has names for keys"},
		{"publish", `local x = ev.client.vars[1]`, "vars has names for keys"},
		{"publish", `ev.origin = "x"`, "origin is read-only"},
		{"publish", `setmetatable(ev, {})`, ""},
		{"publish", `getmetatable(ev).__index = nil`, ""},
		{"will", `ev.delay = 1`, "will event: delay is read-only"},
		{"will", `ev.topic = "#"`, "will event: topic cannot be"},
		{"deliver", `ev.qos = 2`, "qos is only lowered here: it is 1, not to be 2"},
		{"deliver", `ev.subscription.qos = 0`, "subscription: qos is read-only"},
		{"deliver", `local x = ev.subscription.id`, `subscription has no field "id"`},
		{"dropped", `ev.topic = "x"`, "dropped event: topic is read-only"},
		{"dropped", `ev.payload = "x"`, "dropped event: payload is read-only"},
		{"dropped", `ev.user_properties:add("a", "b")`, "user_properties is read-only here"},
		{"dropped", `ev.user_properties = nil`, "dropped event: user_properties is read-only"},
		{"connected", `ev.session_present = true`, "connected event: session_present is read-only"},
		{"disconnected", `ev.reason = "x"`, "disconnected event: reason is read-only"},
		{"subscribed", `ev.filter = "x"`, "subscribed event: filter is read-only"},
		{"unsubscribed", `ev.qos = 1`, "unsubscribed event: qos is read-only"},
		{"unsubscribed", `local x = ev.topic`, `unsubscribed event has no field "topic"`},
		{"subscribe", `ev.filter = "a/#/b"`, `filter cannot be "a/#/b"`},
		{"subscribe", `ev.filter = "$share/g/a"`, "filters are written without $share/group/ here"},
		{"subscribe", `ev.filter = 1`, "filter must be a string"},
		{"subscribe", `ev.qos = 2`, "qos is only lowered here"},
		{"subscribe", `ev.no_local = true`, "cannot be true for a shared subscription"},
		{"subscribe", `ev.retain_handling = 3`, "retain_handling must be a whole number from 0 to 2"},
		{"subscribe", `ev.retain_as_published = "x"`, "retain_as_published must be true or false"},
		{"subscribe", `ev.share = "x"`, "share is read-only"},
		{"subscribe", `ev.identifier = 1`, "identifier is read-only"},
		{"unsubscribe", `ev.filter = ""`, "topic filter is empty"},
		{"unsubscribe", `local x = ev.qos`, `unsubscribe event has no field "qos"`},
		{"connect", `ev.client_id = "\0"`, "client_id is not valid UTF-8"},
		{"connect", `ev.client_id = nil`, "client_id must be a string, not nil"},
		{"connect", `ev.username = 1`, "username must be a string"},
		{"connect", `ev.password = "x"`, "password is read-only"},
		{"connect", `ev.protocol = "5"`, "protocol is read-only"},
		{"connect", `ev.keep_alive = 65536`, "keep_alive must be a whole number from 0 to 65535"},
		{"connect", `ev.session_expiry = 2^32`, "session_expiry must be a whole number"},
		{"connect", `ev.mount = "a"`, `mount must end in /, "a" does not`},
		{"connect", `ev.mount = "a/+/"`, "mount must not contain + # or $"},
		{"connect", `ev.mount = "$a/"`, "mount must not contain + # or $"},
		{"connect", `ev.mount = 1`, "mount must be a string"},
		{"connect", `ev.will = 1`, "will must be a table {topic=…, payload=…}, a message or nil"},
		{"connect", `ev.will = {payload = "x"}`, "will needs a topic"},
		{"connect", `ev.will = {topic = "a/#"}`, `will topic cannot be "a/#"`},
		{"connect", `ev.will = {topic = "a", qoss = 1}`, `unknown key "qoss" (did you mean "qos"?)`},
		{"connect", `ev.will.topic = "#"`, "message: topic cannot be"},
		{"connect", `ev.will.topic = "ok"; ev.keep_alive = -1`, "keep_alive"},
		{"connect", `ev.will = nil; ev.keep_alive = -1`, "keep_alive"},
		{"connect", `ev.will = {topic = "other"}; ev.limits.queued = 3; ev.reply.server_reference = "x"; ev.mount = "m/"; error("boom")`, "boom"},
		{"connect", `ev.limits.publish_rate = 0`, `must be above 0, or "unlimited"`},
		{"connect", `ev.limits.publish_rate = "x"`, `publish_rate must be a number or "unlimited"`},
		{"connect", `ev.limits.inflight = 0`, "inflight must be a whole number from 1"},
		{"connect", `ev.limits.packet_size = 1`, "packet_size must be a whole number from 2"},
		{"connect", `ev.limits.queud = 1`, `limits has no field "queud" (did you mean "queued"?)`},
		{"connect", `ev.limits = {queud = 1}`, `unknown key "queud"`},
		{"connect", `ev.limits = {queued = -1}`, "queued must be a whole number"},
		{"connect", `ev.limits = 1`, "limits must be a table"},
		{"connect", `ev.reply.response_information = 1`, "response_information must be a string"},
		{"connect", `ev.reply.user_properties:add("a", 1)`, "value must be a string"},
		{"connect", `ev.user_properties:set("a", "b")`, "user_properties is read-only here"},
		{"connect", `ev.vars = 1`, "vars must be a table"},
		{"connect", `ev.vars = {x = {}}`, "vars.x must be a string"},
		{"connect", `ev.client.id = "x"`, `connect event has no field "client"`},
		{"connect", `ev.tls.version = "x"`, "tls: version is read-only"},
	} {
		if c.want == "" { // metatables: the sandbox's own words
			c.want = "ERROR"
		}
		refusal(t, c.event, c.statement, c.want)
	}
}

func TestConnectFields(t *testing.T) {
	r := rules(t, `
mqtt.on("connect", function(c)
	assert(c.client_id == "dev" and c.username == "ann" and c.password == "secret\0" and c.protocol == "5" and c.clean_start == true)
	assert(c.keep_alive == 60 and c.session_expiry == 100 and c.receive_maximum == 10 and c.maximum_packet_size == 5000)
	assert(c.user_properties:get("fw") == "1.0" and #c.user_properties == 1)
	assert(c.will.topic == "w/dev" and c.will.payload == "gone" and c.will == c.will)
	assert(c.remote == "192.0.2.1:1" and c.listener == "tls" and c.mount == "")
	assert(c.tls.version == "1.3" and c.tls.cipher == "X" and c.tls.server_name == nil and c.tls.common_name == "cn" and c.tls.subject == "s" and c.tls.serial == "0a" and c.tls.fingerprint == "ff")
	assert(c.limits.publish_rate == math.huge and c.limits.publish_bytes == 1000 and c.limits.inflight == 20 and c.limits.queued == math.huge and c.limits.packet_size == 100 and c.limits.subscriptions == 7)
	assert(c.reply.response_information == nil and c.reply.server_reference == nil and #c.reply.user_properties == 0)
	c.client_id = "new"; c.username = nil; c.keep_alive = 30; c.session_expiry = 0
	c.will.topic = "w/new"; c.will.payload = "bye"
	c.vars.role = "x"
	c.mount = "t/7/"
	c.limits.publish_rate = 2.5; c.limits.publish_bytes = "unlimited"; c.limits.inflight = 1; c.limits = {queued = 5, subscriptions = math.huge}
	c.reply.user_properties:add("a", "b"); c.reply.response_information = "ri"; c.reply = {server_reference = "other:1883"}
	return true
end)`)
	ev := &core.ConnectEvent{
		ClientID: "dev", Username: "ann", HasUsername: true, Password: []byte("secret\x00"), Protocol: packet.V5, CleanStart: true,
		KeepAlive: 60, SessionExpiry: 100, ReceiveMaximum: 10, MaximumPacketSize: 5000,
		UserProperties: []packet.UserProperty{{Key: "fw", Value: "1.0"}}, Will: &core.Message{Topic: "w/dev", Payload: []byte("gone")},
		Remote: "192.0.2.1:1", Listener: "tls",
		TLS:    &core.TLSInfo{Version: "1.3", Cipher: "X", CommonName: "cn", Subject: "s", Serial: "0a", Fingerprint: "ff"},
		Limits: core.Limits{PublishBytes: 1000, Inflight: 20, Queued: core.Unlimited, PacketSize: 100, Subscriptions: 7},
	}
	if d := ask(r, ev, core.ConnectHook.OnConnect); d.Verdict != core.Allow {
		t.Fatalf("%+v %q", d, r.log.errors())
	}
	if ev.ClientID != "new" || ev.HasUsername || ev.Username != "" || ev.KeepAlive != 30 || ev.SessionExpiry != 0 || ev.Mount != "t/7/" ||
		ev.Will.Topic != "w/new" || string(ev.Will.Payload) != "bye" || ev.Vars.Get("role") != "x" {
		t.Errorf("%+v", ev)
	}
	if want := (core.Limits{PublishRate: 2.5, Inflight: 1, Queued: 5, PacketSize: 100, Subscriptions: core.Unlimited}); ev.Limits != want {
		t.Errorf("limits %+v", ev.Limits)
	}
	if ev.Reply.ResponseInformation != "ri" || ev.Reply.ServerReference != "other:1883" || len(ev.Reply.UserProperties) != 1 {
		t.Errorf("reply %+v", ev.Reply)
	}
	r.clean()
}

func TestConnectOf3(t *testing.T) {
	r := rules(t, `
mqtt.on("connect", function(c)
	assert(c.protocol == "3.1.1" and c.client_id == "" and c.username == nil and c.password == nil and c.will == nil and c.tls == nil)
	assert(c.receive_maximum == nil and c.maximum_packet_size == nil and c.session_expiry == nil and #c.user_properties == 0)
	c.keep_alive = 100
	assert(not pcall(function() c.keep_alive = 50 end))
	c.keep_alive = 0
	assert(not pcall(function() c.keep_alive = 50 end))
	c.session_expiry = 3600
	c.will = { topic = "made", payload = "x", qos = 1, retain = true, user_properties = {{"a", "b"}} }
	assert(c.will.qos == 1)
	c.vars = { role = "guest", n = 1 }
	assert(c.vars.role == "guest")
	c.username = "named"
	c.mount = "x/"; c.mount = nil
	return true
end)
mqtt.on("connect", function(c) if c.username == "strip" then c.will = nil end end)`)
	ev := &core.ConnectEvent{Protocol: packet.V311, KeepAlive: 60}
	if d := ask(r, ev, core.ConnectHook.OnConnect); d.Verdict != core.Allow {
		t.Fatalf("%+v %q", d, r.log.errors())
	}
	if ev.KeepAlive != 0 || ev.SessionExpiry != 3600 || ev.Username != "named" || !ev.HasUsername || ev.Vars.Get("n") != 1.0 || ev.Mount != "" {
		t.Errorf("%+v", ev)
	}
	if w := ev.Will; w == nil || w.Topic != "made" || string(w.Payload) != "x" || w.QoS != 1 || !w.Retain || len(w.UserProperties) != 1 || w.Origin != core.OriginWill {
		t.Errorf("will %+v", w)
	}
	r.clean()
}

func TestStripWill(t *testing.T) {
	r := rules(t, `mqtt.on("connect", function(c) c.will = nil; assert(c.will == nil) return true end)`)
	ev := &core.ConnectEvent{Protocol: packet.V5, Will: &core.Message{Topic: "w"}, WillDelay: 5}
	if d := ask(r, ev, core.ConnectHook.OnConnect); d.Verdict != core.Allow || ev.Will != nil || ev.WillDelay != 0 {
		t.Errorf("%+v %+v", d, ev)
	}
}

func TestToldFields(t *testing.T) {
	r := rules(t, readMessage+`
mqtt.on("connected", function(e) assert(e.client.id == "gw-7" and e.session_present == true); kv.incr("ok") end)
mqtt.on("disconnected", function(e)
	assert(e.client.id == "gw-7" and e.by == "client")
	if e.reason == "normal_disconnection" then assert(e.text == nil and e.will == "discarded")
	elseif e.reason == "disconnect_with_will_message" then assert(e.text == "bye" and e.will == nil)
	else error(e.reason) end
	kv.incr("ok")
end)
mqtt.on("subscribed", "a/#", function(e) assert(e.filter == "$share/g/a/+" and e.qos == 2 and e.client.id == "gw-7"); kv.incr("ok") end)
mqtt.on("unsubscribed", "a/#", function(e) assert(e.filter == "a/b" and e.client.id == "gw-7"); kv.incr("ok") end)
mqtt.on("dropped", "a/#", function(e)
	readMessage(e)
	assert(e.cause == "queue_full" and e.publisher.id == "gw-7" and e.client.id == nil and e.client.vars == nil and e.client.protocol == nil and e.client.mount == nil)
	kv.incr("ok")
end)`)
	c := testClient(packet.V5)
	told(r, &core.ConnectedEvent{Client: c, SessionPresent: true}, core.ConnectedHook.OnConnected)
	told(r, &core.DisconnectedEvent{Client: c, By: core.ByClient, Will: "discarded"}, core.DisconnectedHook.OnDisconnected)
	told(r, &core.DisconnectedEvent{Client: c, By: core.ByClient, Reason: packet.DisconnectWithWill, Text: "bye"}, core.DisconnectedHook.OnDisconnected)
	told(r, &core.SubscriptionEvent{Client: c, Filter: "$share/g/a/+", QoS: 2}, core.SubscribedHook.OnSubscribed)
	told(r, &core.SubscriptionEvent{Client: c, Filter: "a/b"}, core.UnsubscribedHook.OnUnsubscribed)
	told(r, &core.SubscriptionEvent{Client: c, Filter: "b/b"}, core.UnsubscribedHook.OnUnsubscribed)
	told(r, &core.DroppedEvent{Publisher: c, Message: fullMessage(), Cause: core.CauseQueueFull}, core.DroppedHook.OnDropped)
	if n, _ := r.kv.Bucket("").Get("ok"); n != 6.0 {
		t.Errorf("%v handlers were through, want 6", n)
	}
	r.clean()
}

func TestWillDeliverSubscribeFields(t *testing.T) {
	r := rules(t, readMessage+`
mqtt.on("will", "a/#", function(e)
	readMessage(e)
	assert(e.delay == 5 and e.reason == "keep_alive_timeout" and e.client.id == "gw-7")
	e.topic = "status/gw-7"; e.payload = e.reason
	return true
end)
mqtt.on("deliver", "a/#", function(e)
	readMessage(e)
	assert(e.subscription.filter == "a/+/c" and e.subscription.qos == 2 and e.client.id == "gw-7")
	e.qos = 0; e.topic = "x"; e.retain = false
	return true
end)
mqtt.on("subscribe", function(e)
	assert(e.filter == "a/+" and e.qos == 1 and e.no_local == false and e.retain_as_published == true and e.retain_handling == 2 and e.share == "g" and e.identifier == 9 and e.client.protocol == "5")
	e.filter = "b/#"; e.qos = 0; e.no_local = false; e.retain_as_published = false; e.retain_handling = 0
	return true
end)
mqtt.on("unsubscribe", function(e) assert(e.filter == "a" and e.client.id == "gw-7"); e.filter = "b" return true end)`)
	c := testClient(packet.V5)
	w := &core.WillEvent{Client: c, Message: fullMessage(), Delay: 5, Reason: packet.KeepAliveTimeout}
	if d := ask(r, w, core.WillHook.OnWill); d.Verdict != core.Allow || w.Message.Topic != "status/gw-7" || string(w.Message.Payload) != "keep_alive_timeout" {
		t.Errorf("will: %+v %+v", d, w.Message)
	}
	dl := &core.DeliverEvent{Client: c, Message: fullMessage(), Filter: "a/+/c", QoS: 2}
	if d := ask(r, dl, core.DeliverHook.OnDeliver); d.Verdict != core.Allow || dl.Message.QoS != 0 || dl.Message.Topic != "x" || dl.Message.Retain {
		t.Errorf("deliver: %+v %+v", d, dl.Message)
	}
	s := &core.SubscribeEvent{Client: c, Filter: "a/+", QoS: 1, RetainAsPublished: true, RetainHandling: 2, Share: "g", Identifier: 9}
	if d := ask(r, s, core.SubscribeHook.OnSubscribe); d.Verdict != core.Allow || s.Filter != "b/#" || s.QoS != 0 || s.RetainAsPublished || s.RetainHandling != 0 {
		t.Errorf("subscribe: %+v %+v", d, s)
	}
	u := &core.UnsubscribeEvent{Client: c, Filter: "a"}
	if d := ask(r, u, core.UnsubscribeHook.OnUnsubscribe); d.Verdict != core.Allow || u.Filter != "b" {
		t.Errorf("unsubscribe: %+v %+v", d, u)
	}
	r.clean()
}

func TestSubscribeOf3ReadsNil(t *testing.T) {
	r := rules(t, `mqtt.on("subscribe", function(e)
		assert(e.no_local == nil and e.retain_as_published == nil and e.retain_handling == nil and e.share == nil and e.identifier == nil)
		e.no_local = true; assert(e.no_local == true)
		return true
	end)`)
	ev := &core.SubscribeEvent{Client: testClient(packet.V311), Filter: "a"}
	if d := ask(r, ev, core.SubscribeHook.OnSubscribe); d.Verdict != core.Allow || !ev.NoLocal {
		t.Errorf("%+v %q", d, r.log.errors())
	}
}

func TestKeptObjectsAreDead(t *testing.T) {
	r := rules(t, `
local kept = {}
mqtt.on("publish", "keep", function(m) kept = { m, m.client, m.user_properties, m.level, m.client.vars, m.user_properties:each() } end)
for i = 1, 5 do
	mqtt.on("publish", "read/" .. i, function() return kept[i].id end)
	mqtt.on("publish", "write/" .. i, function() kept[i].id = "x" end)
end
mqtt.on("publish", "each", function() kept[6]() end)
mqtt.on("publish", "assign", function(m) m.user_properties = kept[3] end)
mqtt.on("publish", "again", function(m) return mqtt.allow() end)`)
	r.publish("keep", "")
	r.clean()
	for _, topic := range []string{"read/1", "read/2", "read/3", "read/4", "read/5", "write/1", "write/2", "write/3", "write/4", "write/5", "each", "assign"} {
		r.reportsReset()
		n := len(r.log.errors())
		if d, _ := r.publish(topic, ""); d.Verdict != core.Deny {
			t.Errorf("%s: %+v", topic, d)
		}
		if lines := r.log.errors(); len(lines) != n+1 || !strings.Contains(lines[n], "event object used after its handler returned") {
			t.Errorf("%s: logged %q", topic, lines[n:])
		}
	}
	if d, _ := r.publish("again", ""); d.Verdict != core.Allow {
		t.Errorf("afterwards: %+v", d)
	}
}

// reportsReset lets the next failure of each place be logged.
func (r *rig) reportsReset() { r.now = r.now.Add(time.Hour) }
