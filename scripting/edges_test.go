package scripting

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// TestMessageEdges: what a rule may read and write at the edges of a message; each
// statement is a handler of its own, on a message of MQTT 5 and one of 3.1.1.
func TestMessageEdges(t *testing.T) {
	for _, statement := range []string{
		`assert(m.level[0] == nil and m.level[99] == nil and m.level[-1] == nil and m.level[1.5] == nil and m.level[2^60] == nil and m.level[1/0] == nil)`,
		`assert(m.level[1] == "a" and m.level[2] == "" and m.level[3] == "c" and #m.level == 3)`,
		`m.topic = "/x/"; assert(m.level[1] == "" and m.level[2] == "x" and m.level[3] == "" and m.level[4] == nil and #m.level == 3)`,
		`m.topic = "new"; assert(m.level[1] == "new" and #m.level == 1)`,
		`assert(m.expiry == nil); m.expiry = 0; assert(m.expiry == 0); m.expiry = 2^32 - 1; m.expiry = nil; assert(m.expiry == nil)`,
		`m.payload = ""; assert(m.payload == "" and #m.payload == 0); m.payload = "\0\255"; assert(m.payload == "\0\255")`,
		`m.qos = 2.0; assert(m.qos == 2); m.qos = -0; assert(m.qos == 0)`,
		`for _, f in ipairs{ "content_type", "payload_format", "response_topic", "correlation_data" } do assert(m[f] == nil); m[f] = nil; assert(m[f] == nil) end`,
		`m.payload_format = 0; assert(m.payload_format == 0); m.payload_format = 1; m.payload_format = nil; assert(m.payload_format == nil)`,
		`m.content_type = ""; assert(m.content_type == ""); m.correlation_data = ""; assert(m.correlation_data == "")`,
		`local p = m.user_properties; assert(p:get("a") == nil and #p:all("a") == 0); for _ in p:each() do error("there are none") end`,
		`local p = m.user_properties; p:add("b", "1"); p:add("a", "2"); p:add("b", "3"); p:add("", "")
		 local s = ""; for k, v in p:each() do s = s .. k .. v .. ";" end; assert(s == "b1;a2;b3;;", s)
		 assert(p:get("b") == "1" and table.concat(p:all("b"), ",") == "1,3" and p:get("") == "" and p:get("B") == nil)
		 p:set("b", "4"); s = ""; for k, v in p:each() do s = s .. k .. v .. ";" end; assert(s == "b4;a2;;", s)
		 p:remove("b"); p:remove("b"); p:remove("none"); s = ""; for k, v in p:each() do s = s .. k .. v .. ";" end; assert(s == "a2;;", s)
		 p:set("new", "5"); s = ""; for k, v in p:each() do s = s .. k .. v .. ";" end; assert(s == "a2;;new5;", s)`,
		`m.user_properties = {{"k", "1"}, {"k", "2"}}; assert(m.user_properties:all("k")[2] == "2"); m.user_properties = {}; assert(m.user_properties:get("k") == nil)`,
		`m.retain = true; assert(m.retain == true); m.retain = false; assert(m.retain == false and m.dup == false)`,
		`local before = m.topic; m.topic = "other"; m.topic = before; assert(m.topic == "a//c")`,
	} {
		for _, v := range []packet.Version{packet.V5, packet.V311} {
			r := rules(t, "mqtt.on('publish', function(m)\n"+statement+"\nreturn true end)")
			c := testClient(v)
			ev := &core.PublishEvent{Client: c, Message: &core.Message{Topic: "a//c", Payload: []byte("x"), Publisher: c}}
			if d := r.onPublish(ev); d.Verdict != core.Allow {
				t.Errorf("%s: %s: %+v, logged %q", v, statement, d, r.log.errors())
			}
		}
	}
	for statement, want := range map[string]string{
		`ev.payload = nil`:       "payload must be a string, not nil",
		`ev.payload = true`:      "payload must be a string, not",
		`ev.qos = nil`:           "qos must be a number, not nil",
		`ev.qos = -1`:            "qos must be a whole number from 0 to 2, not -1",
		`ev.qos = 1e300`:         "qos must be a whole number from 0 to 2",
		`ev.retain = nil`:        "retain must be true or false, not nil",
		`ev.expiry = 0.5`:        "expiry must be a whole number",
		`ev.expiry = 0/0`:        "expiry must be a whole number",
		`ev.expiry = "5"`:        `expiry must be a number, not the string "5"`,
		`ev.payload_format = ""`: "payload_format must be a number",
		`ev.topic = "$SYS\0"`:    "is not valid UTF-8",
		`ev.level[0] = "x"`:      "level is read-only",
		`ev.client.vars = {}`:    "vars is read-only",
		`ev.user_properties = 5`: "user_properties must be a list",
		`ev.level.n = 1`:         "level is read-only",
	} {
		refusal(t, "publish", statement, want)
	}
}

// TestSources: how files may be written, and what is said of those that may not.
func TestSources(t *testing.T) {
	const rule = `mqtt.on("publish", function(m) m.payload = "ran" end)`
	for name, source := range map[string]string{
		"plain": rule, "shebang": "#!/usr/bin/lua\n" + rule, "shebang, CRLF": "#!/usr/bin/lua\r\n" + rule + "\r\n",
		"byte order mark": "\ufeff" + rule, "mark and shebang": "\ufeff#!/usr/bin/lua\n" + rule,
		"CRLF": "-- a\r\n" + rule + "\r\n", "no newline at the end": "-- a\n" + rule, "comments": "--[[ a\nb ]]\n" + rule + "\n--",
	} {
		r := rules(t, source)
		if _, ev := r.publish("a", "x"); string(ev.Message.Payload) != "ran" {
			t.Errorf("%s: payload %q, logged %q", name, ev.Message.Payload, r.log.errors())
		}
	}
	for name, source := range map[string]string{"empty": "", "blank": " \r\n\n", "a mark alone": "\ufeff", "a comment": "-- later"} {
		if r := rules(t, source); len(r.Status().Files) != 1 || len(r.Status().Handlers) != 0 {
			t.Errorf("%s: %+v", name, r.Status())
		}
	}
	for source, want := range map[string]string{
		"#!/usr/bin/lua\r\n\r\nx = = 1": "10.lua:3:", "\ufeff\nx = = 1": "10.lua:2:", "-- a\r\nx = = 1\r\n": "10.lua:2:",
		"\x1bLua\x51\x00": "10.lua", "\xff\xfem\x00": "10.lua", "return function(": "10.lua:1:",
	} {
		if got := loadError(t, source); !strings.Contains(got, want) {
			t.Errorf("%q: %s", source, got)
		}
	}
}

// TestModules: what goes wrong with require, and what it shares.
func TestModules(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": `require("b")`, "lib/b.lua": "\nrequire('a')"}, "lib/b.lua:2: "},
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": `require("a")`}, "lib/a.lua:1: "},
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": "\nerror('while loading')"}, "lib/a.lua:2: while loading"},
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": "local x\nx.y = 1"}, "lib/a.lua:2: attempt to index"},
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": "while true do end"}, "lib/a.lua:1: "},
		{map[string]string{"10.lua": `require("../10")`}, "there is no module"},
		{map[string]string{"10.lua": `require("/etc/passwd")`}, "there is no module"},
		{map[string]string{"10.lua": `require("10")`}, "there is no module"},
		{map[string]string{"10.lua": `require("a_test")`, "lib/a_test.lua": "return 1"}, "there is no module"},
		{map[string]string{"10.lua": `require("")`}, "there is no module"},
		{map[string]string{"10.lua": `require()`}, "10.lua:1: "},
		{map[string]string{"10.lua": `pcall(require, "a") pcall(require, "a") error("b")`, "lib/a.lua": "error('x')"}, "10.lua:1: b"},
		{map[string]string{"10.lua": `require("a")`, "lib/a.lua": "mqtt.publish{topic = 'a'}"}, "mqtt.publish while the file loads"},
	} {
		err := newRig(t, c.files).Reload(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\n got %v\nwant %s", c.files, err, c.want)
		}
	}
	r := newRig(t, map[string]string{
		"10.lua":          `local n = require("count"); n.n = n.n + 1; mqtt.on("publish", "fail", function() require("count").fail() end)`,
		"20.lua":          `local n = require("count"); n.n = n.n + 1; local nothing = require("nothing"); mqtt.on("publish", "count", function(m) m.payload = tostring(require("count").n) .. tostring(nothing) end)`,
		"lib/count.lua":   "return {\n n = 0,\n fail = function() error('in the module') end }",
		"lib/nothing.lua": "local x = 1",
	})
	must(t, r.Reload(context.Background()))
	if _, ev := r.publish("count", ""); string(ev.Message.Payload) != "2true" {
		t.Errorf("a module is not shared: %q", ev.Message.Payload)
	}
	if d, _ := r.publish("fail", ""); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
	r.failedWith("by=lib/count.lua:3", "handler=10.lua:1", "lib/count.lua:3: in publish handler (fail): in the module")
}

// TestFolderEdges: what else lies in a scripts folder.
func TestFolderEdges(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": mark("a", "1"), "lib/x.lua": "return 1", "20.lua~": "broken(", "30.LUA": "broken(", "#40.lua#": "broken(", ".50.lua": "broken("})
	dir := r.options.Dir
	must(t, os.Symlink("10.lua", filepath.Join(dir, "60.lua"))) // a second name is a second file
	must(t, os.Symlink(dir, filepath.Join(dir, "lib", "loop"))) // a folder that contains itself
	must(t, r.Reload(context.Background()))
	if files := strings.Join(r.Status().Files, " "); files != "10.lua 60.lua" {
		t.Errorf("files %s", files)
	}
	must(t, os.Remove(filepath.Join(dir, "60.lua")))
	must(t, os.Symlink("60.lua", filepath.Join(dir, "60.lua"))) // a link to itself
	if err := r.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "60.lua: cannot be read") {
		t.Errorf("%v", err)
	}
	if r.Status().Generation != 1 {
		t.Errorf("%+v", r.Status())
	}
}

// TestTimerEdges: the longest timers, and what one cancels.
func TestTimerEdges(t *testing.T) {
	c := newClocked(t, `
local far, never = mqtt.every(1e9, function() mqtt.publish{topic = "far"} end), mqtt.after(9e9, function() mqtt.publish{topic = "never"} end)
local twice = mqtt.after(5, function() mqtt.publish{topic = "cancelled"} end)
local ran; ran = mqtt.after(0, function() mqtt.publish{topic = tostring(ran:cancel())} end)
mqtt.on("publish", "cancel", function() assert(twice:cancel() == true and twice:cancel() == false and ran:cancel() == false) return true end)`)
	c.advance(0)
	c.wantSaid("false")
	if d, _ := c.publish("cancel", ""); d.Verdict != core.Allow {
		t.Errorf("%+v, logged %q", d, c.log.errors())
	}
	c.advance(time.Hour)
	c.wantSaid("")
	c.advance(1e9 * time.Second)
	c.wantSaid("far")
	c.clean()
}

// TestClientsWhileTheyChange: a walk over the clients meets each once, while some come and
// others are kicked.
func TestClientsWhileTheyChange(t *testing.T) {
	x := onSocket(t, `
mqtt.on("publish", "go", function(m)
	local seen, a = {}, 0
	for c in mqtt.clients() do
		assert(not seen[c.id], c.id .. " twice")
		seen[c.id] = true
		if c.id == "a" then a = a + 1 else mqtt.kick(c.id) end
	end
	m.payload = tostring(a)
end)`)
	a := x.connect("a")
	a.subscribe("go", 0)
	for range 3 { // those of the last time are being kicked
		for i := range 5 {
			x.connect("c" + string(rune('0'+i)))
		}
		a.publish("go", "")
		a.wantMessage("go", "1")
	}
	x.clean()
}

// reasons are the reason codes with which an event may be refused, or a client
// disconnected, of the 256 there are: those of MQTT 5.0 from 0x80 on that a server may send,
// in CONNACK (3.2.2.2), PUBACK (3.4.2.1), SUBACK (3.9.3), UNSUBACK (3.11.3) and DISCONNECT (3.14.2.1, and
// 0x8C by 2.4).
var reasons = map[string][]byte{
	"connack":    {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
	"puback":     {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	"suback":     {0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
	"unsuback":   {0x80, 0x83, 0x87, 0x8F, 0x91},
	"disconnect": {0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
}

// TestReasons puts each of the 256 codes to each event.
func TestReasons(t *testing.T) {
	for _, c := range []struct{ event, verdict, packet string }{
		{"connect", "deny", "connack"}, {"connect", "disconnect", "connack"}, {"authenticate", "deny", "connack"},
		{"publish", "deny", "puback"}, {"publish", "disconnect", "disconnect"},
		{"subscribe", "deny", "suback"}, {"subscribe", "disconnect", "disconnect"},
		{"unsubscribe", "deny", "unsuback"}, {"unsubscribe", "disconnect", "disconnect"},
		{"will", "deny", "puback"}, {"deliver", "deny", "puback"}, {"deliver", "disconnect", "disconnect"},
	} {
		r := rules(t, "mqtt.on('"+c.event+"', function() return mqtt."+c.verdict+"(kv.incr('code') - 1) end)")
		failed := int64(0)
		for code := range 256 {
			_, _, d := fire(t, r, c.event, testClient(packet.V5))
			errors := int64(r.HandlerCounts()[0].Errors)
			accepted := errors == failed
			failed = errors
			if want := strings.IndexByte(string(reasons[c.packet]), byte(code)) >= 0; accepted != want {
				t.Errorf("%s: mqtt.%s(0x%02X) is accepted: %t, want %t", c.event, c.verdict, code, accepted, want)
			}
			if accepted && (d.Verdict.String() != c.verdict || d.Reason != packet.ReasonCode(code) || d.By != "10.lua:1") {
				t.Errorf("%s: mqtt.%s(0x%02X) came to %+v", c.event, c.verdict, code, d)
			}
		}
	}
}
