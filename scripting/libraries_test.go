package scripting

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lunamq/core"
	"lunamq/scripting/lib"
)

// TestMoreLibraries: what the calls return, and that what is wrong is a script error.
func TestMoreLibraries(t *testing.T) {
	for _, statement := range []string{
		`assert(bit.band(0xF0F0, 0xFF00, 0x3000) == 0x3000 and bit.band(7) == 7 and bit.bor(1, 2, 4) == 7 and bit.bxor(5, 1) == 4)
		 assert(bit.bnot(0) == 4294967295 and bit.bnot(-1) == 0 and bit.band(-1, 0xFFFFFFFF) == 4294967295)
		 assert(bit.lshift(1, 31) == 2147483648 and bit.lshift(1, 32) == 0 and bit.lshift(3, 31) == 2147483648 and bit.rshift(-1, 28) == 15 and bit.rshift(8, 3) == 1)`,
		`for i, f in ipairs{ function() bit.band() end, function() bit.band(1.5) end, function() bit.band(2^32) end, function() bit.band(-2^31 - 1) end, function() bit.band("1") end,
		   function() bit.bnot(1, 2) end, function() bit.lshift(1) end, function() bit.lshift(1, -1) end, function() bit.lshift(1, 1, 1) end, function() bit.bor(1, nil, 1) end } do assert(not pcall(f), i) end`,
		`local s = bytes.pack("<I2 >I4 s1 z", 258, 1, "ab", "c"); assert(bytes.hex(s) == "0201" .. "00000001" .. "026162" .. "6300", bytes.hex(s))
		 local a, b, c, d, at = bytes.unpack("<I2 >I4 s1 z", s); assert(a == 258 and b == 1 and c == "ab" and d == "c" and at == #s + 1)
		 local x, next = bytes.unpack("B", s, 3); assert(x == 0 and next == 4); assert(bytes.unpack("", "") == 1)`,
		`assert(bytes.unhex("00fF") == "\0\255" and bytes.base64("\0\1\2") == "AAEC" and bytes.unbase64("AAEC") == "\0\1\2" and bytes.unbase64("_-8") == "\255\239")`,
		`for i, f in ipairs{ function() bytes.unhex("0") end, function() bytes.unhex("zz") end, function() bytes.unbase64("A\n") end, function() bytes.hex(1) end, function() bytes.hex("a", "b") end,
		   function() bytes.pack("I2", "x") end, function() bytes.pack("I2", 70000) end, function() bytes.pack("I2") end, function() bytes.pack("I2", 1, 2) end, function() bytes.pack("I2", {}) end, function() bytes.pack() end,
		   function() bytes.unpack("I4", "abc") end, function() bytes.unpack("B", "a", 0) end, function() bytes.unpack("B", "a", 3) end, function() bytes.unpack("?", "a") end,
		   function() bytes.unpack(("B"):rep(9000), ("a"):rep(9000)) end, function() bytes.pack = 1 end } do assert(not pcall(f), i) end`,
		`local m = re.match("(?P<room>\\w+)/(\\d+)(x)?", "at hall/42!"); assert(m[0] == "hall/42" and m[1] == "hall" and m.room == "hall" and m[2] == "42" and m[3] == false)
		 assert(re.match("^a+$", "b") == nil)
		 local all = re.find_all("\\d+", "1 22 333"); assert(#all == 3 and all[3][0] == "333" and #re.find_all("\\d+", "1 22 333", 2) == 2 and #re.find_all("x", "") == 0)
		 local s, n = re.replace("(\\w+)@(\\w+)", "a@b c@d", "$2 at ${1}, $$"); assert(s == "b at a, $ d at c, $" and n == 2, s)
		 local p = re.split(",\\s*", "a, b,c"); assert(#p == 3 and p[2] == "b" and p[3] == "c" and #re.split(",", "a,b,c", 2) == 2)`,
		`for i, f in ipairs{ function() re.match("(", "a") end, function() re.match("a") end, function() re.match("a", "b", "c") end, function() re.find_all("a", "b", 0) end, function() re.find_all("a", "b", "c") end,
		   function() re.replace("a", "a", "$9") end, function() re.replace("a", "a") end, function() re.split("a", {}) end } do assert(not pcall(f), i) end`,
		`assert(bytes.hex(crypto.md5("")) == "d41d8cd98f00b204e9800998ecf8427e")
		 assert(bytes.hex(crypto.sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" and #crypto.sha512("") == 64)
		 assert(bytes.hex(crypto.hmac("sha256", "Jefe", "what do ya want for nothing?")) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
		 assert(#crypto.random(16) == 16 and crypto.random(16) ~= crypto.random(16) and crypto.random(0) == "")`,
		`for i, f in ipairs{ function() crypto.sha256() end, function() crypto.sha256(1) end, function() crypto.sha256("a", "b") end, function() crypto.hmac("crc32", "k", "s") end, function() crypto.hmac("sha256", "k") end,
		   function() crypto.random(-1) end, function() crypto.random(1.5) end, function() crypto.random(1e6) end } do assert(not pcall(f), i) end`,
		`assert(env.get("LUNAMQ_TEST_A") == "value" and env.get("LUNAMQ_TEST_UNSET") == nil)
		 local ok, err = pcall(env.get, "LUNAMQ_TEST_AA"); assert(not ok and err:find('not among the names in [scripting] env (did you mean "LUNAMQ_TEST_A"?)', 1, true), err); assert(not pcall(env.get))`,
		`local b = kv.bucket("d", {durable = true}); b:set("x", 1); assert(b:get("x") == 1 and kv.bucket("d", {durable = true}):incr("x") == 2)`,
	} {
		t.Setenv("LUNAMQ_TEST_A", "value")
		r := rules(t, "mqtt.on('publish', function(m)\n"+statement+"\nreturn true end)", func(o *Options) { o.Env = []string{"LUNAMQ_TEST_A", "LUNAMQ_TEST_UNSET"} })
		r.runs("a")
		r.clean()
	}
}

// TestLibrariesAreCharged: none of the calls is a way around the budget.
func TestLibrariesAreCharged(t *testing.T) {
	for _, statement := range []string{
		`while true do bit.band(1, 2) end`,
		`while true do bytes.pack("I2", 1) end`,
		`while true do bytes.hex(p) end`,
		`while true do bytes.unpack("z", p .. "\0") end`,
		`while true do re.match("(a*)*b", p) end`,
		`while true do re.split("", p) end`,
		`while true do crypto.sha256(p) end`,
		`while true do crypto.hmac("md5", p, p) end`,
		`while true do crypto.random(65536) end`,
		`while true do metrics.counter("a", "") end`,
	} {
		r := rules(t, `mqtt.on("publish", {budget = 200000}, function(m) local p = m.payload; `+statement+` end)`)
		if d, _ := r.publish("a", strings.Repeat("a", 20_000)); d.Verdict != core.Deny {
			t.Errorf("%s: %+v", statement, d)
		}
		r.failedWith("budget")
	}
}

func TestMetrics(t *testing.T) {
	r := rules(t, `
local c = metrics.counter("seen", "messages seen")
local g = metrics.gauge("level", "the last level")
local h = metrics.histogram("size", "sizes", {10, 100})
mqtt.on("publish", "count", function(m) c:inc() c:inc(2) g:set(5) g:add(-1.5) h:observe(#m.payload) metrics.histogram("default", ""):observe(1) end)`,
		func(o *Options) { o.Workers = 2 })
	samples := func() (out string) {
		for _, s := range r.host.registry.Samples() {
			if name, ok := strings.CutPrefix(s.Name, "lunamq_script_"); ok {
				out += fmt.Sprintf("%s %s %v %v; ", name, s.Kind, s.Value, s.Counts)
			}
		}
		return out
	}
	if got := samples(); got != "level gauge 0 []; seen counter 0 []; size histogram 0 [0 0 0]; " {
		t.Errorf("before: %s", got)
	}
	r.publish("count", "123")
	r.clean()
	if got := samples(); got != "default histogram 1 [0 0 0 0 0 0 0 1 0 0 0 0]; level gauge 3.5 []; seen counter 3 []; size histogram 3 [1 0 0]; " {
		t.Errorf("after: %s", got)
	}
	if r.replaceWith("20.lua", `metrics.gauge("refused", "") error("x")`) == nil || strings.Contains(samples(), "refused") {
		t.Errorf("a set that was refused has left %s", samples())
	}
	must(t, r.replaceWith("20.lua", ""))
	must(t, r.replaceWith("10.lua", `metrics.gauge("seen", "now a gauge")`))
	if got := samples(); !strings.Contains(got, "seen gauge 0 []") {
		t.Errorf("another kind: %s", got)
	}
}

func TestMetricArguments(t *testing.T) {
	for statement, want := range map[string]string{
		`metrics.counter("a b", "")`:                              "is not made of letters, digits and _",
		`metrics.counter("a")`:                                    "the help text must be a string, not nil",
		`metrics.counter("a", "", {1})`:                           "takes at most 2 arguments",
		`metrics.histogram("a", "", {2, 1})`:                      "the buckets must be finite bounds, ascending",
		`metrics.histogram("a", "", 1)`:                           "the buckets must be a list of numbers",
		`metrics.histogram("a", "", {"x"})`:                       "bucket 1 must be a number",
		`metrics.counter("a", ""):inc(-1)`:                        "a counter only grows, n is -1",
		`metrics.counter("a", ""):set(1)`:                         `counter has no field "set"`,
		`metrics.counter("a", "").inc()`:                          "call it with a colon",
		`metrics.gauge("a", ""):set()`:                            "the value must be a number, not nil",
		`metrics.gauge("a", ""):set(0/0)`:                         "must be a finite number",
		`metrics.gauge("a", "").set(metrics.counter("b", ""), 1)`: "call it with a colon",
	} {
		refusal(t, "publish", statement, want)
	}
	if text := loadError(t, `metrics.counter("a", ""):inc()`); !strings.Contains(text, "counter:inc while the file loads") {
		t.Error(text)
	}
}

// durable is a store of buckets that counts how often it is asked for one.
type durable struct {
	kv    *lib.KV
	names []string
}

func (d *durable) Bucket(name string) Bucket {
	d.names = append(d.names, name)
	return d.kv.Bucket(name)
}

func TestDurableBuckets(t *testing.T) {
	store := &durable{}
	r := rules(t, `
local kept, plain = kv.bucket("b", {durable = true}), kv.bucket("b")
mqtt.on("publish", function(m) kept:set("k", "kept"); plain:set("k", "plain"); return kept:get("k") == "kept" end)`,
		func(o *Options) { store.kv = lib.NewKV(1<<20, o.Now); o.Durable = store })
	r.runs("a")
	if got, _ := r.kv.Bucket("b").Get("k"); got != "plain" || !reflect.DeepEqual(store.names, []string{"b"}) {
		t.Errorf("in memory: %v; asked for %q", got, store.names)
	}
	must(t, r.Stop(context.Background()))
	r.clean()
}
