package e2e

import (
	"fmt"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/google/go-cmp/cmp"

	"lunamq/core/packet"
)

// publishRules answer by the second level of the topic.
const publishRules = `local cases = {
  ["nothing"]    = function() end,
  ["allow"]      = function() return mqtt.allow() end,
  ["deny"]       = function() return mqtt.deny() end,
  ["false"]      = function() return false end,
  ["format"]     = function() return mqtt.deny("payload_format_invalid", "not a number") end,
  ["quota"]      = function() return mqtt.deny(0x97, "slowly") end,
  ["drop"]       = function() return mqtt.drop("unseen") end,
  ["foreign"]    = function() return mqtt.deny("banned") end, -- line 9
  ["number"]     = function() return 42 end,
  ["second"]     = function() return true, "modified" end,
  ["function"]   = function() return mqtt.deny end,
  ["fails"]      = function(msg) msg.topic = "v/changed"; error("on purpose") end,
  ["wildcard"]   = function(msg) msg.topic = "a/+" end,
  ["qos"]        = function(msg) msg.qos = 3 end,
  ["kept"]       = function(msg) kept = msg end,
  ["disconnect"] = function() return mqtt.disconnect("quota_exceeded", "enough") end,
}
mqtt.on("publish", "v/+", function(msg)
  return cases[msg.level[2]](msg)
end)
`

// TestPublishVerdicts: 5 is told in PUBACK and PUBREC; 3.x is acknowledged and
// the message dropped.
func TestPublishVerdicts(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"p.lua": publishRules}})
	tests := []struct {
		topic string
		code  packet.ReasonCode
		text  string
	}{
		{"nothing", packet.Success, ""},
		{"allow", packet.Success, ""},
		{"deny", packet.NotAuthorized, ""},
		{"false", packet.NotAuthorized, ""},
		{"format", packet.PayloadFormatInvalid, "not a number"},
		{"quota", packet.QuotaExceeded, "slowly"},
		{"drop", packet.Success, ""},
		{"foreign", packet.UnspecifiedError, ""},
		{"number", packet.UnspecifiedError, ""},
		{"second", packet.UnspecifiedError, ""},
		{"function", packet.UnspecifiedError, ""},
		{"fails", packet.UnspecifiedError, ""},
		{"wildcard", packet.UnspecifiedError, ""},
		{"qos", packet.UnspecifiedError, ""},
		{"kept", packet.UnspecifiedError, ""},
	}
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		watch, c := p.connect(login{}), p.connect(login{version: v})
		granted(t, watch, "#", 2)
		for _, tt := range tests {
			for qos := range byte(3) {
				m := message{topic: "v/" + tt.topic, payload: "x", qos: qos}
				code, text := c.publish(m)
				want, wantText := tt.code, tt.text
				if v != packet.V5 || qos == 0 {
					want, wantText = packet.Success, ""
				}
				if code != want || text != wantText {
					t.Errorf("%s: %s %q, want %s %q", m, code, text, want, wantText)
				}
				if tt.topic == "nothing" || tt.topic == "allow" {
					expect(t, watch, m.String())
				}
			}
			published(t, c, message{topic: "barrier", payload: tt.topic, qos: 1})
			expect(t, watch, "barrier "+tt.topic+" q1") // nothing else came before
		}
	})
	checkErrors(t, p, map[string]string{
		"p.lua:9":  "banned",
		"p.lua:19": "42",
		"p.lua:13": "on purpose",
		"p.lua:14": "a/+",
		"p.lua:15": "qos",
		"p.lua:16": "kept",
	})
}

// TestPublishReason: the reason string is in PUBREC, too, and only for who
// wants it [MQTT-3.1.2-29].
func TestPublishReason(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"p.lua": publishRules}})
	for _, wanted := range []byte{1, 0} {
		s := openSocket(t, p.addr("local"))
		hello := packet.Connect{Version: packet.V5, CleanStart: true, ClientID: fmt.Sprint("wants", wanted)}
		hello.Props.Set(packet.RequestProblemInfo)
		hello.Props.RequestProblemInfo = wanted
		s.connect(&hello)
		for qos, answer := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
			s.send((&packet.Publish{Topic: "v/quota", QoS: qos, PacketID: 7}).Append(nil, packet.V5))
			ack := packet.Ack{Type: answer}
			s.expect(answer, &ack)
			if ack.Code != packet.QuotaExceeded || ack.PacketID != 7 || ack.Props.ReasonString != map[byte]string{1: "slowly"}[wanted] {
				t.Errorf("problem information %d: %s %s %d %q", wanted, answer, ack.Code, ack.PacketID, ack.Props.ReasonString)
			}
		}
		// a denied identifier is free at once: the same one, QoS 2, is a new message
		s.send((&packet.Publish{Topic: "v/nothing", QoS: 2, PacketID: 7}).Append(nil, packet.V5))
		ack := packet.Ack{Type: packet.PUBREC}
		s.expect(packet.PUBREC, &ack)
		if ack.Code != packet.NoMatchingSubscribers {
			t.Errorf("the identifier again: %s", ack.Code)
		}
	}
}

// TestPublishDisconnect: DISCONNECT with the code, a close in 3.x, and the will
// is sent (3.1.2.5).
func TestPublishDisconnect(t *testing.T) {
	p := start(t, setup{rules: map[string]string{"p.lua": publishRules}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		watch := p.connect(login{})
		granted(t, watch, "#", 2)
		for qos := range byte(3) {
			will := message{topic: "will", payload: fmt.Sprint(v, qos), qos: 1}
			c := p.connect(login{version: v, will: &will})
			c.send(message{topic: "v/disconnect", qos: qos})
			if code, text := c.gone(); v == packet.V5 && (code != packet.QuotaExceeded || text != "enough") {
				t.Errorf("QoS %d: %s %q", qos, code, text)
			}
			expect(t, watch, will.String())
		}
	})
	if line := p.waitFor("reason=quota_exceeded"); !contains(line, "client disconnected", "by=p.lua:17", "text=enough") {
		t.Errorf("the log says %s", line)
	}
}

// TestDenyPublishV3: with deny_publish_v3 = "disconnect" 3.x is closed; 5 is
// told as ever.
func TestDenyPublishV3(t *testing.T) {
	p := start(t, setup{config: "[mqtt]\ndeny_publish_v3 = \"disconnect\"\n", rules: map[string]string{"p.lua": publishRules}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		for qos := range byte(3) {
			c := p.connect(login{version: v})
			if v == packet.V5 {
				code, _ := c.publish(message{topic: "v/deny", qos: qos})
				if want := map[byte]packet.ReasonCode{1: packet.NotAuthorized, 2: packet.NotAuthorized}[qos]; code != want {
					t.Errorf("QoS %d: %s", qos, code)
				}
				continue
			}
			c.send(message{topic: "v/drop", qos: qos}) // dropped is not denied
			c.send(message{topic: "v/deny", qos: qos})
			c.gone()
		}
	})
}

// TestPublishRewrite: everything that may be rewritten, as a client of 5 gets
// it from a client of any version.
func TestPublishRewrite(t *testing.T) {
	p := start(t, setup{rules: map[string]string{
		"1.lua": `
mqtt.on("publish", "in/+", function(msg)
  msg.topic = "out/" .. msg.level[2]
  msg.payload = msg.payload:upper() .. "\0\255"
  msg.qos = tonumber(msg.level[2])
  msg.retain = not msg.retain
  msg.expiry = 100
  msg.content_type = "text/plain"
  msg.payload_format = 0
  msg.response_topic = "answers"
  msg.correlation_data = "\1\2"
  msg.user_properties:add("n", "1")
  msg.user_properties:add("n", "2")
  msg.user_properties:set("proto", msg.client.protocol)
end)
mqtt.on("publish", "in/+", function(msg) return mqtt.deny() end) -- does not match any more
mqtt.on("publish", "out/+", function(msg) msg.user_properties:add("saw", msg.topic) end)`,
	}})
	eachVersion(t, p, func(t *testing.T, p *program, v packet.Version) {
		watch, c := p.connect5(login{}), p.connect(login{version: v})
		watch.subscribeWith(&paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "out/#", QoS: 2, RetainAsPublished: true, RetainHandling: 2}}})
		for qos := range byte(3) {
			for changed := range byte(3) { // the acknowledgement follows the QoS that was sent
				published(t, c, message{topic: fmt.Sprint("in/", changed), payload: "abc", qos: qos})
				m := watch.next()
				if want := (message{topic: fmt.Sprint("out/", changed), payload: "ABC\x00\xFF", qos: changed, retain: true}); m.String() != want.String() {
					t.Errorf("got %q, want %q", m, want)
				}
				want := &paho.PublishProperties{
					MessageExpiry: ptr[uint32](100), ContentType: "text/plain", PayloadFormat: ptr[byte](0), ResponseTopic: "answers", CorrelationData: []byte("\x01\x02"),
					User: paho.UserProperties{{Key: "n", Value: "1"}, {Key: "n", Value: "2"}, {Key: "proto", Value: v.String()}, {Key: "saw", Value: m.topic}},
				}
				if m.props.MessageExpiry != nil && *m.props.MessageExpiry == 99 { // it may have waited
					want.MessageExpiry = m.props.MessageExpiry
				}
				if diff := cmp.Diff(want, m.props); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		}
		late := p.connect(login{version: v})
		granted(t, late, "out/2", 2) // what is retained is what the rule made
		expect(t, late, "out/2 ABC\x00\xFF q2 retained")
	})
}
