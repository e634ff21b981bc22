package scripting

import (
	"strings"
	"testing"
	"time"

	"lunamq/core"
)

// runs wants a statement of a handler to go through.
func (r *rig) runs(topic string) {
	r.t.Helper()
	if d, _ := r.publish(topic, `{"a":1.10,"n":342161316540874753,"l":[]}`); d.Verdict != core.Allow {
		r.t.Errorf("%s: %+v, logged %q", topic, d, r.log.errors())
	}
}

func TestLibraries(t *testing.T) {
	for _, statement := range []string{
		`local t = json.decode(m.payload); assert(t.a == 1.1 and t.n == "342161316540874753" and #t.l == 0); t.b = json.null; t.c = json.array()
		 local s = json.encode(t); assert(s:find('"a":1.10', 1, true) and s:find('"n":342161316540874753', 1, true) and s:find('"l":[]', 1, true) and s:find('"b":null', 1, true) and s:find('"c":[]', 1, true), s)`,
		`local ok, err = pcall(json.decode, "{x"); assert(not ok and err:find("json.decode", 1, true))`,
		`assert(not pcall(json.decode, nil) and not pcall(json.decode, 5) and not pcall(json.encode, function() end) and not pcall(json.array, 1))`,
		`kv.set("a", "x"); assert(kv.get("a") == "x"); kv.set("a", 2); assert(kv.get("a") == 2); kv.set("a", false); assert(kv.get("a") == false)
		 assert(kv.delete("a") == true and kv.delete("a") == false and kv.get("a") == nil)`,
		`assert(kv.add("once", 1) == true and kv.add("once", 2) == false and kv.get("once") == 1)`,
		`assert(kv.incr("n") == 1 and kv.incr("n", 5) == 6 and kv.incr("n", -0.5) == 5.5)`,
		`kv.set("p/1", 1); kv.set("p/2", 1); kv.set("q", 1); local k = kv.keys("p/"); assert(#k == 2 and k[1] == "p/1" and k[2] == "p/2" and #kv.keys("p/", 1) == 1 and #kv.keys("zz") == 0)`,
		`local b = kv.bucket("b"); b:set("x", 1, 60); assert(b:get("x") == 1 and kv.get("x") == nil and kv.bucket("b"):get("x") == 1 and b:incr("x") == 2 and b:add("x", 1) == false and #b:keys("") == 1 and b:delete("x"))`,
		`for _, f in ipairs{ function() kv.set("a") end, function() kv.set("a", {}) end, function() kv.set(1, 1) end, function() kv.set("a", 1, 0) end, function() kv.set("a", 1, -1) end,
		   function() kv.set("a", 1, "x") end, function() kv.set("a", 1, 0/0) end, function() kv.set(("k"):rep(2000), 1) end, function() kv.keys("a", 0) end, function() kv.get() end,
		   function() kv.bucket("b", {durable = 1}) end, function() kv.bucket("b", {durabel = true}) end, function() kv.bucket("") end, function() kv.bucket("b").get("x") end,
		   function() kv.bucket("b").set = 1 end, function() return kv.bucket("b").gett end, function() kv.set("a", 1, 1, 1) end, function() kv.incr("a", "x") end,
		   function() kv.x = 1 end, function() kv:get("a") end } do assert(not pcall(f), "call " .. _) end`,
		`kv.set("s", "x"); local ok, err = pcall(kv.incr, "s"); assert(not ok and err:find("not a number", 1, true), err)`,
		`assert(time.now() == 1700000000.5); assert(time.mono() >= 0); assert(time.format(0) == "1970-01-01T00:00:00Z" and time.format(0, "%Y", "+02:00") == "1970")
		 assert(time.parse("1970-01-01T00:01:00Z") == 60 and time.parse("1970-01-02", "date") == 86400)`,
		`assert(not pcall(time.parse, "soon") and not pcall(time.format, "x") and not pcall(time.format, 0/0) and not pcall(time.format, 0, 5))`,
		`assert(crypto.equal("a", "a") and not crypto.equal("a", "b") and not crypto.equal("a", "ab") and not pcall(crypto.equal, "a"))`,
		`local ok, err = pcall(crypto.verify_password, "x", "plain"); assert(not ok and err:find("crypto.verify_password", 1, true), err); assert(not pcall(crypto.verify_password, nil, "x"))`,
		`log.debug("d"); log.info("i", {a = 1, b = "x", c = true, d = {}}); log.warn("w"); print("printed", 5)
		 assert(not pcall(log.info) and not pcall(log.info, "x", 1) and not pcall(log.info, "x", {1}))`,
		`local l = rate.limiter(1, 2); assert(l:allow("k") and l:allow("k") and not l:allow("k") and l:allow("other") and not l:allow("big", 3))
		 assert(not pcall(l.allow, "k") and not pcall(function() l:allow() end) and not pcall(function() l:allow("k", -1) end) and not pcall(rate.limiter, 0, 1) and not pcall(rate.limiter, 1))`,
		`assert(tostring(mqtt.deny()) == "verdict" and not pcall(function() mqtt.deny().reason = 1 end) and not pcall(function() return mqtt.deny().reason end))`,
		`assert(tostring(m) == "publish event" and type(m) == "userdata" and getmetatable(m) == "protected")`,
	} {
		r := rules(t, "mqtt.on('publish', function(m)\n"+statement+"\nreturn true end)")
		r.runs("a")
		r.clean()
	}
}

func TestVerifyPassword(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m) return crypto.verify_password(m.payload, m.content_type) end)`)
	hash := testHash(t, "correct horse")
	for password, want := range map[string]core.Verdict{"correct horse": core.Allow, "wrong": core.Deny} {
		ev := newPublish("a", password)
		ev.Message.HasContentType, ev.Message.ContentType = true, hash
		if d := r.onPublish(ev); d.Verdict != want {
			t.Errorf("%s: %+v", password, d)
		}
	}
	r.clean()
}

func TestKVExpires(t *testing.T) {
	r := rules(t, `mqtt.on("publish", "set", function() kv.set("k", "v", 1.5) return true end)
		mqtt.on("publish", "get", function() return kv.get("k") == "v" end)`)
	r.runs("set")
	r.now = r.now.Add(1400 * time.Millisecond)
	r.runs("get")
	r.now = r.now.Add(200 * time.Millisecond)
	if d, _ := r.publish("get", ""); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
}

func TestKVIsBounded(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function(m) for i = 1, 100 do kv.set("k" .. i, m.payload) end end)`, func(o *Options) { o.KVBytes = 10_000 })
	if d, _ := r.publish("a", strings.Repeat("x", 500)); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
	r.failedWith("kv: full", "10.lua:1")
}

func TestRateRefillsAndIsShared(t *testing.T) {
	r := rules(t, `local l = rate.limiter(1, 1)
		mqtt.on("publish", function(m) return l:allow(m.client.id) end)`, func(o *Options) { o.Workers = 2 })
	allowed := func() bool { d, _ := r.publish("a", ""); return d.Verdict == core.Allow }
	if !allowed() || allowed() {
		t.Error("want one of a burst of one")
	}
	home := homeOf(testClient(5), 2)
	r.current.world(home).Lock() // the next goes to the other world
	if allowed() {
		t.Error("the worlds do not share the limiter")
	}
	r.now = r.now.Add(time.Second)
	if !allowed() {
		t.Error("not refilled in the other world")
	}
	r.current.world(home).Unlock()
	if allowed() {
		t.Error("refilled too much")
	}
	r.clean()
}

func TestLog(t *testing.T) {
	r := rules(t, `log.info("loading")
		mqtt.on("publish", function(m) log.warn("odd", {value = 1.5, who = m.client.id, by = "me"}) print("a", nil) end)`, func(o *Options) { o.Workers = 3 })
	r.publish("a", "")
	all := strings.Join(r.log.all(), "\n")
	for _, want := range []string{"INFO loading by=10.lua:1\n", "WARN odd by=10.lua:2 by_=me value=1.5 who=gw-7", "INFO a\tnil by=print"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("want once %q in\n%s", want, all)
		}
	}
	r.clean()
}
