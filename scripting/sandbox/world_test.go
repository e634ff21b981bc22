package sandbox

import (
	"errors"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// newTestWorld makes a world and runs source in it.
func newTestWorld(t testing.TB, l Limits, source string) *World {
	t.Helper()
	w := NewWorld(l)
	w.Lock()
	t.Cleanup(w.Unlock)
	if err := w.Run(mustCompile(t, "test.lua", source)); err != nil {
		t.Fatal(err)
	}
	return w
}

func mustCompile(t testing.TB, name, source string) *Chunk {
	t.Helper()
	c, err := Compile(name, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eval runs source, which returns values through the global function `result`, and gives them as text.
func eval(t testing.TB, source string) (string, error) {
	t.Helper()
	var out []string
	w := NewWorld(Limits{Print: func(s string) { out = append(out, s) }})
	w.Lock()
	defer w.Unlock()
	c, err := Compile("test.lua", []byte(source))
	if err != nil {
		return "", err
	}
	err = w.Run(c)
	return strings.Join(out, "\n"), err
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	return e
}

func fn(t testing.TB, w *World, name string) *lua.LFunction {
	t.Helper()
	f, ok := w.Global(name).(*lua.LFunction)
	if !ok {
		t.Fatalf("no function %s", name)
	}
	return f
}

// TestSemantics runs scripts and compares what they print. The results are Lua 5.1's.
func TestSemantics(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"numbers", `print(1, 1.5, 1234567.5, 0.1+0.2, 2^53, 1e15, 1e100, -0.5, 1/0, 010, 0x10)`,
			"1\t1.5\t1234567.5\t0.3\t9.007199254741e+15\t1000000000000000\t1e+100\t-0.5\tinf\t10\t16"},
		{"concat", `local a = 1 print("x" .. a .. "y" .. 2.5 .. "" .. -3)`, "x1y2.5-3"},
		{"concat is right associative", `
			local mt = {} mt.__concat = function(a, b)
				local function s(v) return type(v) == "table" and v.s or v end
				return setmetatable({ s = "(" .. s(a) .. s(b) .. ")" }, mt) end
			local o = setmetatable({ s = "o" }, mt)
			print(("a" .. o .. "b" .. "c").s, ("a" .. "b" .. o).s, (1 .. o).s)`, "(a(obc))\t(a(bo))\t(1o)"},
		{"concat adjusts calls", `local function two() return "a", "b" end print("x" .. two(), (two()) .. "y")`, "xa\tay"},
		{"concat of varargs", `local function f(...) return "<" .. ... end print(f("a", "b"))`, "<a"},
		{"assignments", `local t = {} t[1], t[2] = "a", "b" t[1], t[2] = t[2], t[1] t[#t+1] = "c" local k = "x" t[k] = 1 t[k .. "y"] = 2
			print(t[1], t[2], t[3], t.x, t.xy)`, "b\ta\tc\t1\t2"},
		{"assignments to locals", `local x, y, z = 1, 2, 3 x, y = y, x print(x, y) x, y, z = z, x, y print(x, y, z)
			local i, t = 1, {} i, t[i] = i + 1, 20 print(i, t[1], t[2]) t.a, t.a = 1, 2 print(t.a)
			local p, q = { 1 }, { 2 } p, p[1] = q, 5 print(p[1], p == q) x, y = (function() return 7, 8, 9 end)() print(x, y) x, y = 1 print(x, y)
			local function f() return x, y end x, y = 4, 5 print(f()) x, g, t[x] = 6, 7, 8 print(x, g, t[4]) x = 1, print("x") print(x)`,
			"2\t1\n3\t2\t1\n2\t20\tnil\n1\n2\ttrue\n7\t8\n1\tnil\n4\t5\n6\t7\t8\nx\n1"},
		{"and, or and calls into locals", `local function no() return false end local function none() end
			local b = "x" b = no() and 1 print(b) b = "x" b = none() and not b print(b) b = "x" b = no() or none() or b print(b)
			local function f(p) p = tostring(p) p = p and p .. "!" return p end print(f(1))`, "false\nnil\nx\n1!"},
		{"constructors that end in a named call", `local t = { 1, x = tostring(5) } print(#t, t.x) t = { "a", ["k" .. 1] = "b" .. 2 } print(#t, t.k1)
			local function two() return 1, 2 end t = { 0, x = two(), y = (two()) } print(#t, t.x, t.y) t = { two(), [5] = two(), two() } print(#t >= 3, t[5])`,
			"1\t5\n1\tb2\n1\t1\t1\ntrue\t1"},
		{"for with an iterator written out", `local junk = 5 for i, v in ipairs({ 9 }) do junk = v end
			for k, v in next, { a = 1 } do print(k, v) end for k in next, { b = 2 } do print(k) end
			local function from() return { 1, 2, 3 }, 1 end for k in next, from() do print(k) end for k, v in next, { 7 }, nil do print(k, v) end`,
			"a\t1\nb\n2\n3\n1\t7"},
		{"arithmetic on strings", `print("010" + 1, "08" * 1, "1e3" - 1, 10 / "5", "7" % "4", "2" ^ "3", -"010", " 0x10 " + 0, math.floor("010.5"))
			for _, s in ipairs({ "0b11", "1_000", "", "abc", "1 2", "inf" }) do print(pcall(function() return s + 1 end)) end
			print(pcall(function() return {} + "1" end)) print(pcall(function() return "1" + nil end)) print(pcall(math.floor, "x"))
			local t = setmetatable({}, { __add = function(a, b) return type(a) .. type(b) end }) print("1" + t, t + "1", "x" + t)`,
			"11\t8\t999\t2\t3\t8\t-10\t16\t10\n" + strings.Repeat("false\ttest.lua:2: attempt to perform arithmetic on a string value\n", 6) +
				"false\ttest.lua:3: attempt to perform arithmetic on a table value\nfalse\ttest.lua:3: attempt to perform arithmetic on a nil value\n" +
				"false\ttest.lua:3: bad argument #1 to (anonymous) (number expected, got string)\nstringtable\ttablestring\tstringtable"},
		{"os.date", `print(os.date("!%Y-%m-%d %H:%M:%S", 0)) print(os.date("!%c|%x|%X|%p", 0)) print(os.date("!%A %B %a %b %d %j %U %w %W %y %I %M %S %% %Q %", 86400 * 45))
			local d = os.date("!*t", 1e9) print(d.year, d.month, d.day, d.hour, d.min, d.sec, d.wday, d.yday, d.isdst)`,
			"1970-01-01 00:00:00\nThu Jan  1 00:00:00 1970|01/01/70|00:00:00|AM\nSunday February Sun Feb 15 046 07 0 06 70 12 00 00 % %Q %\n" +
				"2001\t9\t9\t1\t46\t40\t1\t252\tfalse"},
		{"assignment of a call takes one value", `local t = {} local function two() return 1, 2 end local i = 1 t[i] = two() print(t[1], t[2])`, "1\tnil"},
		{"append", `local t = {} t[#t + 1] = "a" t[#t + 1] = (function() t[#t + 1] = "early" return "late" end)() print(#t, t[1], t[2])
			local u = setmetatable({}, { __newindex = function(t, k, v) rawset(t, k, v .. "!") end }) u[#u + 1] = "x" local v = "y" u[#u + 1] = v print(u[1], u[2])
			print(pcall(function() local n n[#n + 1] = 1 end))`,
			"2\ta\tlate\nx!\ty!\nfalse\ttest.lua:3: attempt to get length of a nil value"},
		{"globals", `x = 1 function f() y = x + 1 end f() local x = 5 x = 6 print(x, _G.x, y, _G.y, rawget(_G, "y"))`, "6\t1\t2\t2\t2"},
		{"scopes", `local a = 1 do local a = 2 a = 3 end repeat local b = 1 b = 2 until b == 2 for i = 1, 1 do i = 5 end
			for k in pairs({1}) do k = 2 end local function f(p, ...) p = 1 return p end f() print(a, b, i, k, p, arg)`, "1\tnil\tnil\tnil\tnil\tnil"},
		{"varargs", `local function f(a, ...) local t = { a, ... } return #t, select("#", ...), ... end print(f(1, 2, 3)) print(#{ f(1) }, #{ (f(1)) }, f())`,
			"3\t2\t2\t3\n2\t1\t0\t0"},
		{"methods", `local o = {} function o:m(v) self.v = v return self end print(o:m(3).v)`, "3"},
		{"newindex", `local log = {} local t = setmetatable({}, { __newindex = function(t, k, v) rawset(t, k, v * 2) end }) local k = "a" t[k] = 4 t.b = 5 print(t.a, t.b)`, "8\t10"},
		{"pcall keeps locals and closures together", `
			local n = 0
			local function inc() n = n + 1 end
			pcall(error, "x") inc() inc() print(n)
			local keep
			pcall(function() local v = 7 keep = function() return v end error("x") end)
			print(keep())
			local ok = pcall(function() local w = 1 local g = function() return w end pcall(error) w = 2 print(g()) error("y") end)
			print(ok, xpcall(function() error("z", 0) end, function(m) return m .. "!" end))`, "2\n7\n2\nfalse\tfalse\tz!"},
		{"pcall results", `print(pcall(function(...) return ... end, 1, nil, 3)) print(select("#", pcall(function() end))) print(pcall(nil))`,
			"true\t1\tnil\t3\n1\nfalse\ttest.lua:1: attempt to call a non-function object"},
		{"error positions", `print(pcall(error, "a")) print(pcall(function() error("b") end)) print(pcall(function() error("c", 0) end))
			local function inner() error("d", 2) end
			print(pcall(function() inner() end))
			print(pcall(error, nil)) print(select(2, pcall(error, {code = 5})).code)`,
			"false\ta\nfalse\ttest.lua:1: b\nfalse\tc\nfalse\ttest.lua:3: d\nfalse\tnil\n5"},
		{"assert", `print(assert(1, 2)) print(pcall(assert, false)) print(pcall(assert, nil, "m"))`, "1\t2\nfalse\ttest.lua:1: assertion failed!\nfalse\tm"},
		{"tonumber", `print(tonumber("10"), tonumber(" 0x1F "), tonumber("1e3"), tonumber("-2.5"), tonumber("5."), tonumber(".5"), tonumber("-0x10"))
			print(tonumber("inf"), tonumber("nan"), tonumber("1_000"), tonumber("0b1"), tonumber(""), tonumber("1 2"), tonumber("--1"), tonumber({}))
			print(tonumber("ff", 16), tonumber("zz", 36), tonumber("8", 8), tonumber("777", 8))`,
			"10\t31\t1000\t-2.5\t5\t0.5\t-16\nnil\tnil\tnil\tnil\tnil\tnil\tnil\tnil\n255\t1295\tnil\t511"},
		{"coroutines", `
			local co = coroutine.create(function(a, b)
				local c = coroutine.yield(a + b)
				local d, e = coroutine.yield(c * 2)
				return d + e
			end)
			print(coroutine.resume(co, 1, 2)) print(coroutine.status(co)) print(coroutine.resume(co, 10)) print(coroutine.resume(co, 3, 4))
			print(coroutine.status(co), coroutine.resume(co))
			local w = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
			print(w(), w(), w(), w()) print(pcall(w))
			print(pcall(coroutine.wrap(function() error("boom") end)))
			print(pcall(coroutine.wrap(function() error({}) end)) == false)
			print(coroutine.resume(coroutine.create(function() return coroutine.status(coroutine.running()) end)))
			print(coroutine.running(), pcall(coroutine.yield, 1))
			for v in coroutine.wrap(function() coroutine.yield("a") coroutine.yield("b") end) do print(v) end
			print(coroutine.resume(coroutine.create(function() return pcall(coroutine.yield) end)))`,
			"true\t3\nsuspended\ntrue\t20\ntrue\t7\ndead\tfalse\tcannot resume dead coroutine\n1\t2\t3\nfalse\tcannot resume dead coroutine\n" +
				"false\ttest.lua:11: boom\ntrue\ntrue\trunning\nnil\tfalse\ttest.lua:14: attempt to yield from outside a coroutine\na\nb\n" +
				"true\tfalse\ttest.lua:16: attempt to yield across a call of a library function"},
		{"coroutines of Go functions", `print(coroutine.wrap(string.upper)("x")) print(coroutine.resume(coroutine.create(error), "m"))
			local co = coroutine.create(coroutine.yield) print(coroutine.resume(co, 1)) print(coroutine.resume(co, 2, 3)) print(coroutine.status(co))`,
			"X\nfalse\tm\ntrue\t1\ntrue\t2\t3\ndead"},
		{"yield across metamethods and iterators", `
			local mt = setmetatable({}, { __index = function(t, k) coroutine.yield(k) return 1 end, __add = function() return coroutine.yield() end })
			print(pcall(coroutine.wrap(function() return mt.x end)))
			print(pcall(coroutine.wrap(function() return mt + 1 end)))
			print(pcall(coroutine.wrap(function() for v in function() coroutine.yield(1) return 2 end do return v end end)))
			print(pcall(coroutine.wrap(function() return ("x"):gsub("x", coroutine.yield) end)))
			print(coroutine.resume(coroutine.create(function() return mt.x end)))
			print(coroutine.wrap(function() coroutine.yield("alive") end)())`,
			"false\ttest.lua:3: attempt to yield across a metamethod or an iterator\n" +
				"false\ttest.lua:4: attempt to yield across a metamethod or an iterator\n" +
				"false\ttest.lua:5: attempt to yield across a metamethod or an iterator\n" +
				"false\ttest.lua:6: attempt to yield across a call of a library function\n" +
				"false\ttest.lua:7: attempt to yield across a metamethod or an iterator\nalive"},
		{"yield as the last act", `
			local co = coroutine.wrap(function() return coroutine.yield(1) end)
			print(co(), co(2, 3))
			local function inner() return coroutine.yield("in") end
			local co2 = coroutine.wrap(function() local a, b = inner() return a .. b end)
			print(co2(), co2("x", "y"))`, "1\t2\t3\nin\txy"},
		{"next", `local t = { 1, 2, x = 1 } for k in pairs(t) do t[k] = nil end print(next(t)) print(pcall(next, {}, "no"))
			local n = 0 for _ in pairs(string) do n = n + 1 end print(n, next({}, nil), rawget(string, "len") == string.len)`,
			"nil\nfalse\ttest.lua:1: invalid key to 'next'\n13\tnil\ttrue"},
		{"select", `print(select("#"), select("#", nil, nil), select(2, "a", "b", "c"), (select(-1, "a", "b")))`, "0\t2\tb\tb"},
		{"unpack", `print(unpack({1, 2, 3})) print(unpack({1, 2}, 2)) print(unpack({}, 1, 2)) print(table.unpack({4}))`, "1\t2\t3\n2\nnil\tnil\n4"},
		{"tostring", `print(tostring(nil), tostring(true), tostring(12), tostring(setmetatable({}, { __tostring = function() return "me" end })))`, "nil\ttrue\t12\tme"},
		{"math", `math.randomseed(1) local r = math.random(3) print(r >= 1 and r <= 3, math.random(5, 5), math.huge == 1/0, math.floor(-1.5), pcall(math.random, 0))`,
			"true\t5\ttrue\t-2\tfalse\ttest.lua:1: bad argument #1 to (anonymous) (interval is empty)"},
		{"os", `print(os.time({ year = 2020, month = 1, day = 1, hour = 12 }) > 1577000000, os.date("!%Y-%m-%d", 0), os.date("!*t", 86400).yday, type(os.clock()))`,
			"true\t1970-01-01\t2\tnumber"},
		{"goto", `for i = 1, 3 do if i == 2 then goto continue end print(i) ::continue:: end`, "1\n3"},
		{"first line", "#!/usr/bin/lua\nprint(1)", "1"},
		{"byte order mark", "\ufeff#!/usr/bin/lua\nprint(1)", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := eval(t, c.source)
			if err != nil {
				t.Fatal(err, "\n", asError(t, err).Traceback)
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
