package sandbox

import (
	"errors"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// TestForbiddenNames: what must not be there is nil, and what is there is what this list says.
func TestForbiddenNames(t *testing.T) {
	for _, name := range strings.Fields(`
		load loadstring loadfile dofile setfenv getfenv newproxy module package collectgarbage io channel gcinfo _printregs
		os.execute os.exit os.getenv os.setenv os.remove os.rename os.tmpname os.setlocale os.difftime
		debug.getinfo debug.getlocal debug.getmetatable debug.getupvalue debug.setfenv debug.setlocal debug.setmetatable
		debug.setupvalue debug.getfenv debug.sethook debug.getregistry string.dump string.gfind table.foreach
		_GOPHER_LUA_VERSION`) {
		if got, err := eval(t, "print("+name+")"); err != nil || got != "nil" {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	const want = "_G _VERSION assert coroutine debug error getmetatable ipairs math next os pairs pcall print rawequal rawget rawset require " +
		"select setmetatable string table tonumber tostring type unpack xpcall"
	got, err := eval(t, `local n = {} for k in pairs(_G) do n[#n + 1] = k end table.sort(n) print(table.concat(n, " "))`)
	if err != nil || got != want {
		t.Errorf("globals: %s, %v\nwant %s", got, err, want)
	}
}

// TestReadOnly: before and after Seal, libraries and the string metatable do not change.
func TestReadOnly(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`string.len = nil`, "cannot assign 'len': string is read-only"},
		{`string.new = 1`, "cannot assign 'new': string is read-only"},
		{`string["len"] = 1`, "cannot assign 'len': string is read-only"},
		{`local k = "len" string[k] = 1`, "cannot assign 'len': string is read-only"},
		{`rawset(math, "pi", 3)`, "cannot assign 'pi': math is read-only"},
		{`function table.insert() end`, "cannot assign 'insert': table is read-only"},
		{`setmetatable(string, {})`, "cannot change a protected metatable"},
		{`setmetatable(_G, {})`, "cannot change a protected metatable"},
		{`setmetatable({}, string)`, "bad argument #2 to setmetatable (a read-only table cannot be a metatable)"},
		{`table.insert(string, 1)`, "cannot change a read-only table"},
		{`table.sort(coroutine)`, "cannot change a read-only table"},
		{`getmetatable("").__index = nil`, "attempt to index a non-table object(boolean) with key '__index'"},
		{`getmetatable(string).__index = nil`, "attempt to index a non-table object(boolean) with key '__index'"},
		{`setmetatable("x", {})`, "bad argument #1 to setmetatable (table expected, got string)"},
		{`local s = "x" s.y = 1`, "attempt to index a non-table object(string) with key 'y'"},
	} {
		_, err := eval(t, c.source)
		if err == nil || err.Error() != "test.lua:1: "+c.want {
			t.Errorf("%s: got %v, want %s", c.source, err, c.want)
		}
	}
}

// TestSeal: no way of assigning a global is left in a handler.
func TestSeal(t *testing.T) {
	for _, body := range []string{
		`x = 2`, `new = 1`, `x = nil`, `function new() end`, `_G.x = 2`, `_G["new"] = 1`, `local k = "x" _G[k] = 2`, `rawset(_G, "x", 2)`,
		`x, new = 1, 2`, `local a a, x = 1, 2`, `for i = 1, 1 do x = i end`, `(function() x = 2 end)()`, `_G._G.x = 2`,
		`string = {}`, `print = nil`, `coroutine.wrap(function() x = 2 end)()`, `x = x .. "y"`, `load_time()`,
	} {
		w := newTestWorld(t, Limits{}, "x = '1' function load_time() y = 1 end load_time() function h() "+body+" end")
		w.Seal()
		_, err := w.Call(fn(t, w, "h"), CallOptions{}, 0)
		if err == nil {
			t.Errorf("%s: no error", body)
			continue
		}
		e := asError(t, err)
		if e.Kind != Sealed || e.Line != 1 || !strings.Contains(e.Message, "assignment to global '") || !strings.Contains(e.Message, "(a missing 'local'?)") {
			t.Errorf("%s: got %v (%v)", body, e, e.Kind)
		}
		if w.Global("x") != lua.LString("1") || w.Global("new") != lua.LNil {
			t.Errorf("%s: a global has changed", body)
		}
	}
	w := newTestWorld(t, Limits{}, `t = {} function h() t.n = (t.n or 0) + 1 local x = missing return x, t.n end`)
	w.Seal()
	if res, err := w.Call(fn(t, w, "h"), CallOptions{}, 2); err != nil || res[0] != lua.LNil || res[1] != lua.LNumber(1) {
		t.Errorf("reading an undefined global, changing a table: %v, %v", res, err)
	}
}

func TestRegister(t *testing.T) {
	w := NewWorld(Limits{})
	w.Lock()
	defer w.Unlock()
	w.Register("lib", map[string]lua.LGFunction{"one": func(L *lua.LState) int { L.Push(lua.LNumber(1)); return 1 }})
	w.SetConst("lib", "name", lua.LString("n"))
	if err := w.Run(mustCompile(t, "test.lua", `result = lib.one() .. lib.name .. tostring(pcall(function() lib.x = 1 end))`)); err != nil {
		t.Fatal(err)
	}
	if got := w.Global("result").String(); got != "1nfalse" {
		t.Errorf("got %s", got)
	}
}

func TestRequire(t *testing.T) {
	files := map[string]string{
		"a":      `loads = (loads or 0) + 1 local name = ... return { name = name, b = require("b") }`,
		"b":      `return { x = 1 }`,
		"plain":  `y = 5`,
		"loop1":  `require("loop2")`,
		"loop2":  `require("loop1")`,
		"fails":  "\nerror('no')",
		"broken": `=`,
	}
	w := NewWorld(Limits{})
	w.Lock()
	defer w.Unlock()
	w.SetLoader(func(name string) (*Chunk, error) {
		source, ok := files[name]
		if !ok {
			return nil, errors.New("not found in lib/")
		}
		return Compile("lib/"+name+".lua", []byte(source))
	})
	run := func(source string) error { return w.Run(mustCompile(t, "main.lua", source)) }
	if err := run(`local a = require("a") result = a.name .. a.b.x .. tostring(require("a") == a) .. loads .. tostring(require("plain")) .. y
		function later() require("b") require("other") end`); err != nil {
		t.Fatal(err)
	}
	if got := w.Global("result").String(); got != "a1true1true5" {
		t.Errorf("got %s", got)
	}
	for source, want := range map[string]string{
		`require("loop1")`:   "lib/loop2.lua:1: modules require each other: loop1 → loop2 → loop1",
		`require("nothing")`: "main.lua:1: module 'nothing': not found in lib/",
		`require("fails")`:   "lib/fails.lua:2: no",
		`require("broken")`:  "main.lua:1: module 'broken': lib/broken.lua:1: syntax error near '='",
	} {
		for range 2 { // failed modules are not kept
			if err := run(source); err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", source, err, want)
			}
		}
	}
	w.Seal()
	_, err := w.Call(fn(t, w, "later"), CallOptions{}, 0)
	if err == nil || err.Error() != "main.lua:2: module 'other' is not loaded: require it at file scope, not in a handler" {
		t.Errorf("require in a handler: %v", err)
	}
}

// TestLayout: what layout.go reaches is what gopher-lua keeps there.
func TestLayout(t *testing.T) {
	tb := newTable()
	tb.RawSetInt(1, lua.LTrue)
	tb.RawSetString("k", lua.LFalse)
	l := layout(tb)
	if len(l.array) != 1 || l.array[0] != lua.LTrue || l.strdict["k"] != lua.LFalse || len(l.keys) != 1 || l.k2i[lua.LString("k")] != 0 {
		t.Errorf("table: %+v", l)
	}
	L := lua.NewState()
	defer L.Close()
	L.Push(lua.LTrue)
	L.Push(lua.LTrue)
	if registryTop(L) != 2 || registryCap(L) < 128 || *hasErrorFunc(L) {
		t.Errorf("state: top %d, cap %d, error function %v", registryTop(L), registryCap(L), *hasErrorFunc(L))
	}
	if lua.MaxArrayIndex != 65536 {
		t.Errorf("MaxArrayIndex is %d", lua.MaxArrayIndex)
	}
}
