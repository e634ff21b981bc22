package scripting

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"lunamq/core"
	"lunamq/core/packet"
)

func TestCelsiusExample(t *testing.T) {
	r := rules(t, `
mqtt.on("publish", "legacy/+/f", function(msg)
  local f = tonumber(msg.payload)
  if not f then return mqtt.deny("payload_format_invalid") end
  msg.payload = json.encode({ c = (f - 32) * 5 / 9, by = msg.client.id })
  msg.topic   = "devices/" .. msg.level[2] .. "/temperature"
end)`)
	d, ev := r.publish("legacy/42/f", "212")
	if d.Verdict != core.Pass || ev.Message.Topic != "devices/42/temperature" {
		t.Errorf("got %+v, topic %q", d, ev.Message.Topic)
	}
	if p := string(ev.Message.Payload); p != `{"c":100,"by":"gw-7"}` && p != `{"by":"gw-7","c":100}` {
		t.Errorf("payload %s", p)
	}
	d, _ = r.publish("legacy/42/f", "warm")
	if d.Verdict != core.Deny || d.Reason != packet.PayloadFormatInvalid || d.By != "10.lua:4" {
		t.Errorf("got %+v", d)
	}
	if d, ev := r.publish("legacy/42/c", "warm"); d != (core.Decision{}) || ev.Message.Topic != "legacy/42/c" {
		t.Errorf("other topic: got %+v", d)
	}
	r.clean()
}

func TestOnlyHandledEventsAreHooked(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() end)`)
	if len(r.host.hooks) != 1 {
		t.Errorf("%d hooks registered, want 1: %v", len(r.host.hooks), r.host.hooks)
	}
	for _, name := range eventNames {
		r := rules(t, `mqtt.on("`+name+`", function() end)`, func(o *Options) { o.Packets = true })
		want := 1
		if name == "load" || name == "unload" { // the engine's own
			want = 0
		}
		if len(r.host.hooks) != want {
			t.Errorf("%s: %d hooks", name, len(r.host.hooks))
		}
		if got := r.Status().Handlers[name]; got != 1 {
			t.Errorf("%s: status counts %d handlers", name, got)
		}
	}
}

func TestOrderAndRewrites(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua": `
			mqtt.on("publish", "b/#", function(m) kv.set("first b", true) end)
			mqtt.on("publish", "a/#", function(m) m.payload = m.payload .. "1"; m.topic = "b/x" end)`,
		"20.lua": `
			mqtt.on("publish", "a/#", function(m) m.payload = m.payload .. "-never-" end)
			mqtt.on("publish", "b/+", function(m) m.payload = m.payload .. "2"; m.topic = "a/y" end)
			mqtt.on("publish", function(m) m.payload = m.payload .. "3" end)
			mqtt.on("publish", "a/y", function(m) m.payload = m.payload .. "4" end)`,
	})
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, ev := r.publish("a/x", "0")
	if string(ev.Message.Payload) != "01234" || ev.Message.Topic != "a/y" {
		t.Errorf("payload %s, topic %s", ev.Message.Payload, ev.Message.Topic)
	}
	if _, ok := r.kv.Bucket("").Get("first b"); ok {
		t.Error("an earlier handler ran after a rewrite")
	}
	r.clean()
}

func TestVerdictsFold(t *testing.T) {
	r := rules(t, `
		mqtt.on("publish", "a", function() return mqtt.allow() end)
		mqtt.on("publish", "#", function(m) m.payload = "seen" end)
		mqtt.on("publish", "deny/#", function() return mqtt.allow() end)
		mqtt.on("publish", "deny/#", function() return mqtt.deny() end)
		mqtt.on("publish", "deny/#", function(m) m.payload = "late" end)`)
	if d, ev := r.publish("a", ""); d.Verdict != core.Allow || d.By != "10.lua:2" || string(ev.Message.Payload) != "seen" {
		t.Errorf("got %+v %q", d, ev.Message.Payload)
	}
	if d, ev := r.publish("deny/x", ""); d.Verdict != core.Deny || string(ev.Message.Payload) != "seen" {
		t.Errorf("got %+v %q", d, ev.Message.Payload)
	}
	r.clean()
}

func TestSubscribeOverlapAndCovers(t *testing.T) {
	r := rules(t, `
		mqtt.on("subscribe", "secret/#", function(s)
			if s.client.username ~= "boss" then return mqtt.deny("not_authorized", "no") end
		end)
		mqtt.on("subscribe", "open/#", function(s) return mqtt.allow() end)`)
	for _, c := range []struct {
		filter string
		want   core.Verdict
	}{
		{"secret/#", core.Deny}, {"secret/a", core.Deny}, {"#", core.Deny}, {"+/+", core.Deny}, {"secret", core.Deny},
		{"secrets/#", core.Pass}, {"open/a", core.Allow}, {"open/#", core.Allow}, {"open", core.Allow},
		{"open/+/c", core.Allow}, {"$SYS/#", core.Pass},
	} {
		ev := &core.SubscribeEvent{Client: testClient(packet.V5), Filter: c.filter}
		if d := ask(r, ev, core.SubscribeHook.OnSubscribe); d.Verdict != c.want {
			t.Errorf("%s: %+v, want %s", c.filter, d, c.want)
		}
	}
	r = rules(t, `mqtt.on("subscribe", "open/#", function() return true end)`)
	ev := &core.SubscribeEvent{Client: testClient(packet.V5), Filter: "#"}
	if d := ask(r, ev, core.SubscribeHook.OnSubscribe); d.Verdict != core.Pass {
		t.Errorf("allow of open/# counted for #: %+v", d)
	}
	r.clean()
}

func TestRewrittenFilterIsMatchedAnew(t *testing.T) {
	r := rules(t, `
		mqtt.on("subscribe", "old/#", function(s) s.filter = "new/" .. s.filter:sub(5) end)
		mqtt.on("subscribe", "new/#", function(s) return mqtt.deny("quota_exceeded") end)`)
	ev := &core.SubscribeEvent{Client: testClient(packet.V5), Filter: "old/a"}
	if d := ask(r, ev, core.SubscribeHook.OnSubscribe); d.Reason != packet.QuotaExceeded || ev.Filter != "new/a" {
		t.Errorf("%+v %q", d, ev.Filter)
	}
	r.clean()
}

func TestWantsDeliver(t *testing.T) {
	r := rules(t, `mqtt.on("deliver", "a/+", function() return mqtt.drop() end)`)
	h, _ := hookOf[core.DeliverHook](r.host)
	if !h.WantsDeliver("a/b") || h.WantsDeliver("b") {
		t.Error("WantsDeliver does not follow the filter")
	}
	if n := testing.AllocsPerRun(100, func() { h.WantsDeliver("b/c/d") }); n != 0 && !raceEnabled {
		t.Errorf("WantsDeliver allocates %v times", n)
	}
	r = rules(t, `mqtt.on("deliver", function() end)`)
	h, _ = hookOf[core.DeliverHook](r.host)
	if !h.WantsDeliver("x") {
		t.Error("a handler without filter wants everything")
	}
}

func TestConstants(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function()
		assert(mqtt.node == "node-a" and mqtt.version == "1.2.3" and mqtt.generation == 1)
		assert(mqtt.match("a/+/#", "a/b") and not mqtt.match("a/+", "a/b/c") and not mqtt.match("#", "$SYS/x"))
		assert(mqtt.match("$share/g/a/+", "a/b"))
		assert(not pcall(mqtt.match, "a/#/b", "a") and not pcall(mqtt.match, "a", "a/+"))
		assert(not pcall(function() mqtt.x = 1 end))
		return true
	end)`)
	if d, _ := r.publish("a", ""); d.Verdict != core.Allow {
		t.Errorf("%+v", d)
	}
	r.clean()
}

func TestSealedGlobals(t *testing.T) {
	r := rules(t, `
		known = 1
		mqtt.on("publish", "new", function() fresh = 1 end)
		mqtt.on("publish", "old", function() known = 2 end)
		mqtt.on("publish", "read", function() assert(known == 1 and fresh == nil) return true end)`)
	for _, topic := range []string{"new", "old"} {
		if d, _ := r.publish(topic, ""); d.Verdict != core.Deny || d.Reason != packet.UnspecifiedError {
			t.Errorf("%s: %+v", topic, d)
		}
	}
	if d, _ := r.publish("read", ""); d.Verdict != core.Allow {
		t.Errorf("read: %+v", d)
	}
	lines := r.log.errors()
	if len(lines) != 2 || !strings.Contains(lines[0], "assignment to global 'fresh'") || !strings.Contains(lines[1], "assignment to global 'known'") {
		t.Errorf("logged %q", lines)
	}
}

func TestRequire(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua":          `local u = require("units"); local d = require("deep.er"); mqtt.on("publish", function(m) m.payload = u.f(m.payload) .. d end)`,
		"lib/units.lua":   `return { f = function(s) return s .. "!" end }`,
		"lib/deep/er.lua": `return "deep"`,
		"lib/x_test.lua":  `this does not parse`,
		"20_test.lua":     `neither does this`,
		"other/10.lua":    `nor this`,
		".hidden.lua":     `nor this`,
		"readme.txt":      `nor this`,
	})
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ev := r.publish("a", "x"); string(ev.Message.Payload) != "x!deep" {
		t.Errorf("payload %q", ev.Message.Payload)
	}
	if files := r.Status().Files; len(files) != 1 || files[0] != "10.lua" {
		t.Errorf("files %q", files)
	}
	r.clean()
}

func TestWorldsAreChecked(t *testing.T) {
	for source, want := range map[string]string{
		`local n = time.now() % 2 == 0 and "publish" or "will"
		mqtt.on(n, function() end)`: "10.lua:2: mqtt.on registers something else in each of the 2 worlds",
		`if time.now() % 2 == 1 then mqtt.on("publish", function() end) end`: "10.lua:1: mqtt.on registers something in one world and not in another",
	} {
		seconds := int64(0)
		r := newRig(t, map[string]string{"10.lua": source}, func(o *Options) {
			o.Workers = 2
			o.Now = func() time.Time { seconds++; return time.Unix(seconds, 0) }
		})
		seconds = 0
		err := r.Reload(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestLoadErrorsNameEverything(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua":      "x = = 1",
		"20.lua":      "\nmqtt.on('publsh', function() end)",
		"30.lua":      "mqtt.on('publish', function() end)",
		"lib/bad.lua": "\n\nend",
	})
	err := r.Reload(context.Background())
	if err == nil {
		t.Fatal("loaded")
	}
	for _, part := range []string{"10.lua:1: ", "20.lua:2: ", `there is no event "publsh" (did you mean "publish"?)`, "lib/bad.lua:3: ", "mqtt.on('publsh', function() end)"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
	if r.host.registered != 0 {
		t.Error("a broken set was registered")
	}
}

func TestOnRefuses(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`mqtt.on("publish", "a/#/b", function() end)`, `10.lua:1: mqtt.on: the filter cannot be "a/#/b"`},
		{`mqtt.on("publish", "", function() end)`, "topic filter is empty"},
		{`mqtt.on("publish", "a\255", function() end)`, "not valid UTF-8"},
		{`mqtt.on("subscribe", "$share/g/a", function() end)`, "without $share/group/"},
		{`mqtt.on("connect", "a", function() end)`, "connect takes no filter"},
		{`mqtt.on("connected", "a", function() end)`, "connected takes no filter"},
		{`mqtt.on("disconnected", "a", function() end)`, "disconnected takes no filter"},
		{`mqtt.on("publish", {onerror="pass"}, function() end)`, `unknown key "onerror" (did you mean "on_error"?)`},
		{`mqtt.on("publish", {on_error="ignore"}, function() end)`, `on_error must be "deny" or "pass"`},
		{`mqtt.on("publish", {budget=0}, function() end)`, "budget must be a whole number from 1"},
		{`mqtt.on("publish", {budget=1.5}, function() end)`, "budget must be a whole number"},
		{`mqtt.on("publish", {"x"}, function() end)`, "the keys are names"},
		{`mqtt.on("publish")`, "the last must be the handler"},
		{`mqtt.on("publish", "a")`, "the last must be the handler"},
		{`mqtt.on("publish", function() end, 1)`, "the last must be the handler"},
		{`mqtt.on(1, function() end)`, "the event must be a string"},
		{`mqtt.on("conect", function() end)`, `(did you mean "connect"?)`},
		{`mqtt.publish{topic="a"}`, "mqtt.publish while the file loads: call it in a handler"},
		{`mqtt.kick("a")`, "mqtt.kick while the file loads: call it in a handler"},
		{`kv.set("a", 1)`, "kv.set while the file loads"},
		{`kv.add("a", 1)`, "kv.add while the file loads"},
		{`kv.incr("a")`, "kv.incr while the file loads"},
		{`kv.delete("a")`, "kv.delete while the file loads"},
		{`rate.limiter(1, 1):allow("a")`, "limiter:allow while the file loads"},
		{`kv.bucket("b"):set("a", 1)`, "bucket:set while the file loads"},
		{`require("nothing")`, "there is no module"},
		{`while true do end`, "budget"},
		{`local x = nil; x.y = 1`, "10.lua:1:"},
	} {
		if got := loadError(t, c.source); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.source, got, c.want)
		}
	}
}

func TestOnInsideAHandler(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() mqtt.on("publish", function() end) end)`)
	r.publish("a", "")
	r.failedWith("mqtt.on in a handler", "10.lua:1")
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Workers: -1}, {Workers: 5000}, {Budget: -1}, {Deadline: -1}, {OnError: "no"}, {KVBytes: -1}, {Poll: -1}} {
		if err := New(new(fakeHost), o).Start(context.Background()); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	host := new(fakeHost)
	e := New(host, Options{})
	if err := e.Start(context.Background()); err != nil || !e.Status().OK || host.registered != 0 {
		t.Errorf("no folder: %v %+v", err, e.Status())
	}
	if err := e.Reload(context.Background()); err != nil {
		t.Error(err)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := New(host, Options{Dir: t.TempDir() + "/missing"}).Start(context.Background()); err == nil || !strings.Contains(err.Error(), "scripts folder") {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestStringsOfTheCoreAreCopied: they are lent from a read buffer.
func TestStringsOfTheCoreAreCopied(t *testing.T) {
	r := rules(t, `
		local kept = {}
		mqtt.on("publish", "keep", function(m)
			kept = { m.topic, m.payload, m.level[1], m.content_type, m.response_topic, m.correlation_data, m.user_properties:get("key!") }
			for k in m.user_properties:each() do kept[#kept + 1] = k end
			kept[#kept + 1] = m.user_properties:all("key!")[1]
		end)
		mqtt.on("publish", "look", function(m) m.payload = table.concat(kept, " ") end)`)
	memory := []byte("keepkey!")
	topic, key := unsafe.String(&memory[0], 4), unsafe.String(&memory[4], 4)
	ev := newPublish(topic, "")
	m := ev.Message
	m.Payload, m.CorrelationData = memory[:4], memory[:4]
	m.HasContentType, m.HasResponseTopic, m.HasCorrelationData = true, true, true
	m.ContentType, m.ResponseTopic = topic, topic
	m.UserProperties = []packet.UserProperty{{Key: key, Value: topic}}
	r.onPublish(ev)
	copy(memory, "XXXXXXXX")
	_, ev = r.publish("look", "")
	if got, want := string(ev.Message.Payload), "keep keep keep keep keep keep keep key! keep"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.clean()
}

// TestOldGenerationsGo: after a reload nothing holds the one before.
func TestOldGenerationsGo(t *testing.T) {
	r := rules(t, `local l = rate.limiter(1, 1)
		mqtt.on("publish", function(m) l:allow(m.topic); kv.set("k", m.payload); pcall(error) end)`)
	r.publish("a", "x")
	old := weak.Make(r.current)
	writeFile(t, filepath.Join(r.options.Dir, "10.lua"), "-- nothing")
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if runtime.GC(); old.Value() == nil {
			return
		}
	}
	t.Error("the old generation is still held")
}
