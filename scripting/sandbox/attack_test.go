package sandbox

import (
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// attackLimits have no deadline in practice: each attack must end by what it was charged.
var attackLimits = Limits{Deadline: time.Hour}

// TestAttacks runs handlers that would hang or kill gopher-lua as it is. Each must end with an error of
// the kind and at the line given, after at most `most` instructions. used = budget means all of it.
func TestAttacks(t *testing.T) {
	const all = defaultBudget
	for _, c := range []struct {
		name, body string // the body of the handler, from line 2 on
		kind       Kind
		line       int
		most       int64
		message    string
	}{
		{"endless loop", `while true do end`, Budget, 2, all, "used up its budget of 1000000"},
		{"pcall loop", `while true do pcall(function() while true do end end) end`, Budget, 2, all, ""},
		{"nested pcall", `local function f() pcall(f) while true do end end f()`, Budget, 2, all, ""},
		{"xpcall with an endless handler", `xpcall(error, function() while true do end end)`, Budget, 2, all, ""},
		{"xpcall around an endless loop", `xpcall(function() while true do end end, function() while true do end end)`, Budget, 2, all, ""},
		{"error in the error handler", `local function h() error(h) end for i = 1, 1e9 do xpcall(error, h) end`, Budget, 2, all, ""},
		{"coroutine loop", `coroutine.wrap(function() while true do end end)()`, Budget, 2, all, ""},
		{"resume of a loop", `while true do coroutine.resume(coroutine.create(function() while true do end end)) end`, Budget, 2, all, ""},
		{"generator without end", `for v in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end`, Budget, 2, all, ""},
		{"a thousand coroutines", `local keep = {} for i = 1, 1000 do keep[i] = coroutine.create(print) end`, Memory, 2, 20_000, "too many unfinished coroutines"},
		{"coroutines nested 10 000 deep", `local function f(n) local ok, e = coroutine.resume(coroutine.create(f), n + 1) if not ok then error(e, 0) end end f(1)`, Runtime, 2, 20_000, "too deeply"},
		{"recursion", `local function f() return 1 + f() end f()`, Runtime, 2, 5_000, "stack overflow"},
		{"recursion through __index", `local t = {} setmetatable(t, { __index = function(t, k) return t[k .. "x"] end }) return t.a`, Runtime, 2, 5_000, "stack overflow"},
		{"recursion through pcall", `local function f() return pcall(f) end for i = 1, 1e9 do f() end`, Budget, 2, all, ""},
		{"recursion through tostring", `local t = setmetatable({}, {}) getmetatable(t).__tostring = tostring return tostring(t)`, Runtime, 2, 5_000, "stack overflow"},
		{"recursion through sort", `local function f() table.sort({ 1, 2 }, f) end f()`, Runtime, 2, 10_000, "stack overflow"},
		{"recursion through gsub", `local function f() return (("x"):gsub("x", f)) end f()`, Runtime, 2, 10_000, "stack overflow"},
		{"recursion through concat", `local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end return t .. 1`, Runtime, 2, 10_000, "stack overflow"},
		{"endless tail calls", `local function f() return f() end f()`, Budget, 2, all, ""},
		{"a loop of __index tables", `local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) return a.x`, Runtime, 2, 200, "too many recursions"},
		{"a loop of __newindex tables", `local a, b = {}, {} setmetatable(a, { __newindex = b }) setmetatable(b, { __newindex = a }) a.x = 1`, Runtime, 2, 200, "too many recursions"},
		{"__gc is nothing", `for i = 1, 1e9 do setmetatable({}, { __gc = error }) end`, Budget, 2, all, ""},
		{"rep", `return ("x"):rep(1e9)`, Memory, 2, 100, "too long"},
		{"rep of rep", `local s = "x" for i = 1, 100 do s = s:rep(1e4) end`, Memory, 2, 2_000, "too long"},
		{"doubling", `local s = "x" while true do s = s .. s end`, Budget, 2, all, ""},
		{"doubling, caught", `local s = "x" while true do pcall(function() s = s .. s end) end`, Budget, 2, all, ""},
		{"long strings again and again", `local s = ("x"):rep(1e6) local keep = {} while true do keep[#keep + 1] = s .. #keep end`, Budget, 2, all, ""},
		{"lower again and again", `local s = ("x"):rep(1e6) while true do s:lower() end`, Budget, 2, all, ""},
		{"format with long strings", `local s = ("x"):rep(1e6) while true do local f = ("%s%s%s"):format(s, s, s) end`, Budget, 2, all, ""},
		{"format widths", `return ("%999999999d"):format(1)`, Runtime, 2, 100, "too long"},
		{"backtracking", `return (("a"):rep(100 * 1024)):find("a*a*a*a*b")`, Budget, 2, all, ""},
		{"backtracking over 100 bytes", `return (("a"):rep(100)):find("a*a*a*a*a*a*b")`, Budget, 2, all, ""},
		{"quadratic match", `return (("a"):rep(100 * 1024)):match("(.*)b")`, Budget, 2, all, ""},
		{"quadratic balance", `return (("("):rep(64 * 1024)):find("%b()")`, Budget, 2, all, ""},
		{"backtracking, caught", `while true do pcall(string.find, ("a"):rep(1e5), "a*a*a*a*b") end`, Budget, 2, all, ""},
		{"back reference", `return (("a"):rep(1e5)):find("(a*)%1b")`, Budget, 2, all, ""},
		{"open captures", `return ("x"):find(("("):rep(1e5))`, Runtime, 2, 10_000, "too many captures"},
		{"deep pattern", `return (("a"):rep(1000)):find(("a?"):rep(1e5))`, Runtime, 2, 20_000, "too complex"},
		{"gmatch without end", `local s = ("a"):rep(1e5) while true do for w in s:gmatch("a-b") do end end`, Budget, 2, all, ""},
		{"gsub that grows", `local s = "a" for i = 1, 100 do s = s:gsub("a", "aaaaaaaaaa") end`, Memory, 2, all, "too long"},
		{"gsub of a long string", `local s = ("a"):rep(65536) for i = 1, 1e9 do s:gsub("a", "bb") end`, Budget, 2, all, ""},
		{"gsub of empty captures", `return (("a"):rep(1e5)):gsub("(x*)", ("%1"):rep(1e6))`, Budget, 2, all, ""},
		{"gsub by a function without end", `return (("a"):rep(1e5)):gsub("a", function() while true do end end)`, Budget, 2, all, ""},
		{"concat of 100 000", `local t, s = {}, ("x"):rep(300) for i = 1, 60000 do t[i] = s end return table.concat(t)`, Memory, 2, all, "too long"},
		{"concat to a far index", `return table.concat({}, ",", 1, 1e9)`, Runtime, 2, 100, "invalid value (nil) at index 1"},
		{"unpack of 100 000", `return unpack({}, 1, 100000)`, Runtime, 2, 100, "too many results"},
		{"unpack to a far index", `return unpack({}, 1, 2 ^ 60)`, Runtime, 2, 100, "too many results"},
		{"byte of a long string", `return (("x"):rep(1e6)):byte(1, -1)`, Runtime, 2, 70_000, "too long"},
		{"varargs without end", `local function f(...) return f(` + strings.Repeat("1, ", 150) + `...) end f()`, Runtime, 2, 200_000, "overflow"},
		{"varargs without end, caught", `local function f(...) return f(` + strings.Repeat("1, ", 150) + `...) end while true do pcall(f) end`, Budget, 2, all, ""},
		{"sort with a lying comparator", `local t = {} for i = 1, 60000 do t[i] = i end while true do table.sort(t, function() return true end) end`, Budget, 2, all, ""},
		{"sort of a long list", `local t = {} for i = 1, 60000 do t[i] = -i end while true do table.sort(t) end`, Budget, 2, all, ""},
		{"sort of nothing comparable", `table.sort({ 1, "x", {} })`, Runtime, 2, 200, "attempt to compare"},
		{"insert in front", `local t = {} for i = 1, 100000 do local n = #t table.insert(t, 1, i) end`, Budget, 2, all, ""},
		{"remove in front", `local t = {} for i = 1, 60000 do t[i] = i end for i = 1, 100000 do table.remove(t, 1) table.insert(t, i) end`, Budget, 2, all, ""},
		{"lists of many values", `local t, keep = {}, {} t[8000] = 1 local function f(...) while true do keep[#keep + 1] = { ... } end end f(unpack(t, 1, 8000))`, Budget, 2, all, ""},
		{"lists of many results", `local t, keep = {}, {} local function f() return unpack(t, 1, 8000) end while true do keep[#keep + 1] = { f() } end`, Budget, 2, all, ""},
		{"long error messages", `local s, keep = ("x"):rep(8e6), {} while true do local ok, e = pcall(function() local n n[s] = 1 end) keep[#keep + 1] = e end`, Budget, 2, all, ""},
		{"long error messages in coroutines", `local s, keep = ("x"):rep(8e6), {} while true do local ok, e = coroutine.resume(coroutine.create(function() error(s) end)) keep[#keep + 1] = e end`, Budget, 2, all, ""},
		{"a list whose length lies", `local keep, mt = {}, { __len = function() return 64999 end } while true do local t = setmetatable({}, mt) t[#t + 1] = true keep[t] = t end`, Budget, 2, all, ""},
		{"a list whose length lies, by a call", `local keep, mt = {}, { __len = function() return 64999 end } while true do local t = setmetatable({}, mt) t[#t + 1] = tostring(1) keep[t] = t end`, Budget, 2, all, ""},
		{"large keys behind __newindex", `local big, mt, keep = {}, {}, {} big[65000] = 1 setmetatable(big, mt) for i = 1, 1e9 do local u = {} mt.__newindex = u big[65001] = true keep[#keep + 1] = u end`, Budget, 2, all, ""},
		{"a push to a full list", `local t = {} t[65535] = 1 t[#t + 1] = 1`, Memory, 2, 20_000, "list is full"},
		{"a full list", `local t = {} t[65535] = 1 table.insert(t, 1)`, Memory, 2, 20_000, "list is full"},
		{"tables of large keys", `local keep = {} for i = 1, 1e9 do local t = {} t[65000] = true keep[#keep + 1] = t end`, Budget, 2, all, ""},
		{"constructors of large keys", `local keep = {} for i = 1, 1e9 do keep[#keep + 1] = { [65000] = true } end`, Budget, 2, all, ""},
		{"several large keys", `local keep = {} for i = 1, 1e9 do local t = {} t[65000], t[1] = true, 1 keep[#keep + 1] = t end`, Budget, 2, all, ""},
		{"rawset of large keys", `local keep = {} for i = 1, 1e9 do local t = {} rawset(t, 65000, true) keep[#keep + 1] = t end`, Budget, 2, all, ""},
		{"removed keys", `local t = {} for i = 1, 1e9 do local k = "k" .. i t[k] = 1 t[k] = nil for _ in pairs(t) do end end`, Budget, 2, all, ""},
		{"an error that is a table", `error(setmetatable({}, { __tostring = function() while true do end end }))`, Runtime, 2, 100, "error object is a table"},
		{"print of an endless __tostring", `print(setmetatable({}, { __tostring = function() while true do end end }))`, Budget, 2, all, ""},
		{"a traceback kept long", `while true do debug.traceback(("x"):rep(1000)) end`, Budget, 2, all, ""},
		{"date with many percents", `return os.date(("%"):rep(1e6))`, Runtime, 2, 70_000, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestWorld(t, attackLimits, "function attack()\n"+c.body+"\nend")
			w.Seal()
			_, err := w.Call(fn(t, w, "attack"), CallOptions{}, 1)
			if err == nil {
				t.Fatalf("no error after %d instructions", w.Used())
			}
			e := asError(t, err)
			if e.Kind != c.kind || e.File != "test.lua" || e.Line != c.line || !strings.Contains(e.Message, c.message) {
				t.Errorf("got %v %v, want %v in line %d with %q\n%s", e.Kind, e, c.kind, c.line, c.message, e.Traceback)
			}
			if e.Used != w.Used() || e.Used > c.most || c.kind == Budget && e.Used != all {
				t.Errorf("charged %d instructions (world says %d), want at most %d", e.Used, w.Used(), c.most)
			}
			if c.kind != Syntax && !strings.Contains(e.Traceback, "test.lua:2") {
				t.Errorf("traceback without the line:\n%s", e.Traceback)
			}
			if res, err := w.Call(fn(t, w, "tostring"), CallOptions{}, 1, lua.LNumber(7)); err != nil || res[0] != lua.LString("7") {
				t.Errorf("the world is broken afterwards: %v %v", res, err)
			}
		})
	}
}

// TestHarmless runs what looks like an attack and is ordinary: it must succeed, cheaply.
func TestHarmless(t *testing.T) {
	for _, c := range []struct {
		name, body string
		most       int64
	}{
		{"a huge key", `local seen = {} seen[1e8] = true seen[2^52] = true return seen[1e8]`, 50},
		{"a thousand coroutines, one after the other", `for i = 1, 1000 do coroutine.wrap(function() end)() end return true`, 250_000},
		{"a pattern over a long text", `return (("key=value;"):rep(6000)):gsub("(%w+)=(%w+)", "%2=%1") ~= nil`, 60_000},
		{"a list of 60 000", `local t = {} for i = 1, 60000 do t[#t + 1] = i end table.sort(t) return #table.concat(t, ",") > 0`, 800_000},
		{"a stack", `local t = {} for i = 1, 40000 do t[#t + 1] = i end while #t > 0 do t[#t] = nil end return next(t) == nil`, 600_000},
		{"a queue", `local q, h = {}, 1 for i = 1, 10000 do q[#q + 1] = i end while h <= 10000 do q[h] = nil h = h + 1 end return true`, 200_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestWorld(t, attackLimits, "function handler()\n"+c.body+"\nend")
			res, err := w.Call(fn(t, w, "handler"), CallOptions{}, 1)
			if err != nil || res[0] != lua.LTrue || w.Used() > c.most {
				t.Errorf("got %v, %v after %d instructions, want at most %d", res, err, w.Used(), c.most)
			}
		})
	}
}
