package scripting

import (
	"fmt"
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

func packetsOn(o *Options) { o.Packets = true }

func TestPacketEvents(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`assert(p.direction == "out" and p.type == "PUBACK" and p.bytes == "\64\2\0\1" and p.client.id == "gw-7")`, "pass 40020001 0s 0"},
		{`p.bytes = "x"`, "pass 78 0s 0"},
		{`p.bytes = ""`, "pass  0s 0"},
		{`return mqtt.drop()`, "drop 40020001 0s 0"},
		{`return mqtt.delay(1.5)`, "pass 40020001 1.5s 0"},
		{`return mqtt.duplicate()`, "pass 40020001 0s 1"},
		{`return mqtt.duplicate(3) end) mqtt.on("packet", function() return mqtt.delay(2)`, "pass 40020001 2s 3"},
		{`return mqtt.disconnect("administrative_action")`, "disconnect 40020001 0s 0"},
		{`return mqtt.deny()`, "error mqtt.deny() is no verdict for packet: write mqtt.drop()"},
		{`p.bytes = "x"; error("boom")`, "error boom"},
		{`p.bytes = 5`, "error bytes must be a string"},
		{`p.type = "x"`, "error type is read-only"},
		{`return mqtt.delay(0)`, "error mqtt.delay: seconds must be above 0 and at most 3600, not 0"},
		{`return mqtt.delay(3601)`, "error at most 3600"},
		{`return mqtt.delay()`, "error seconds must be a number, not nil"},
		{`return mqtt.duplicate(0)`, "error mqtt.duplicate: n must be a whole number from 1 to 100"},
		{`return mqtt.duplicate(1, 2)`, "error takes one argument"},
	} {
		r := rules(t, `mqtt.on("packet", function(p) `+c.statement+` end)`, packetsOn)
		ev := &core.PacketEvent{Client: testClient(packet.V5), Direction: core.PacketOut, Type: packet.PUBACK, Bytes: []byte{0x40, 2, 0, 1}}
		d := ask(r, ev, core.PacketHook.OnPacket)
		got := fmt.Sprintf("%s %x %v %d", d.Verdict, ev.Bytes, ev.Delay, ev.Copies)
		if text, fails := strings.CutPrefix(c.want, "error "); fails {
			r.failedWith(text)
			if got != "pass 40020001 0s 0" {
				t.Errorf("%s: a failed handler left %s", c.statement, got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.statement, got, c.want)
		}
		r.clean()
	}
}

func TestPacketsAreOffUnlessAskedFor(t *testing.T) {
	if text := loadError(t, `mqtt.on("packet", function() end)`); !strings.Contains(text, "set [scripting] packets = true") {
		t.Error(text)
	}
	for _, statement := range []string{`return mqtt.delay(1)`, `return mqtt.duplicate()`} {
		refusal(t, "publish", statement, "is no verdict for publish")
	}
}

// onTap is a site whose packets are shown to rules.
func onTap(t *testing.T, source string) *site {
	return onSocket(t, source, func(c *core.Options, o *Options) { c.Packets, o.Packets = true, true })
}

// TestPacketsOnASocket: rules lose, change, duplicate and reorder what a real
// client sends and gets.
func TestPacketsOnASocket(t *testing.T) {
	x := onTap(t, `
local lost = 0
mqtt.on("packet", function(p)
	if p.type == "PUBACK" and p.direction == "out" then
		lost = lost + 1
		if lost % 2 == 1 then return mqtt.drop() end
	elseif p.type == "PUBLISH" and p.direction == "in" then
		p.bytes = p.bytes:gsub("secret", "******")
		if p.bytes:find("twice", 1, true) then return mqtt.duplicate() end
		if p.bytes:find("later", 1, true) then return mqtt.delay(0.01) end
	elseif p.type == "CONNECT" then
		assert(p.client.id == nil)
	elseif p.type == "PINGREQ" then
		return mqtt.disconnect("administrative_action")
	else
		assert(p.type == "CONNACK" or p.client.id == "a", p.type)
	end
end)`)
	c := x.connect("a")
	c.subscribe("#", 0)
	c.publish("t", "a secret")
	c.wantMessage("t", "a ******")
	c.publish("t", "twice")
	c.wantMessage("t", "twice")
	c.wantMessage("t", "twice")
	c.publish("t", "later")
	c.publish("t", "sooner")
	c.wantMessage("t", "sooner")
	c.wantMessage("t", "later")
	for id := range uint16(2) {
		c.write((&packet.Publish{Topic: "q", QoS: 1, PacketID: id + 1}).Append(nil, packet.V5))
		c.wantMessage("q", "")
	}
	if body := c.expect(packet.PUBACK); body[1] != 2 {
		t.Errorf("the acknowledgement of %d was lost, want that of 1", body[1])
	}
	c.write([]byte{0xC0, 0})
	if body := c.expect(packet.DISCONNECT); packet.ReasonCode(body[0]) != packet.AdministrativeAction {
		t.Errorf("DISCONNECT % x", body)
	}
	if c.next() != nil {
		t.Error("the connection goes on")
	}
	x.clean()
}

// TestPacketRulesReload: the packets of a connection that is there meet the new
// rules.
func TestPacketRulesReload(t *testing.T) {
	rule := `mqtt.on("packet", function(p) if p.type == "PUBLISH" and p.direction == "out" then p.bytes = p.bytes:gsub("old", "%s") end end)`
	x := onTap(t, fmt.Sprintf(rule, "one"))
	c := x.connect("a")
	c.subscribe("t", 0)
	for _, word := range []string{"one", "two"} {
		x.save(fmt.Sprintf(rule, word))
		c.publish("t", "old")
		c.wantMessage("t", word)
	}
	x.save(``)
	c.publish("t", "old")
	c.wantMessage("t", "old")
	x.clean()
}
