package sandbox

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// TestErrorKinds: an error that a script catches does not decide the kind of a later one.
func TestErrorKinds(t *testing.T) {
	w := newTestWorld(t, Limits{}, `
		function caught() pcall(string.rep, "x", 1e9) error("plain") end
		function passed() local ok, e = pcall(string.rep, "x", 1e9) error(e, 0) end`)
	_, err := w.Call(fn(t, w, "caught"), CallOptions{}, 0)
	if e := asError(t, err); e.Kind != Runtime || e.Error() != "test.lua:2: plain" {
		t.Errorf("got %v (%v)", e, e.Kind)
	}
	_, err = w.Call(fn(t, w, "passed"), CallOptions{}, 0)
	if e := asError(t, err); e.Kind != Memory || e.Line != 3 {
		t.Errorf("got %v (%v)", e, e.Kind)
	}
	for k := Runtime; k <= Internal; k++ {
		if k.String() == "" || k.String() == "unknown" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if Kind(99).String() != "unknown" {
		t.Errorf("kind 99 is %v", Kind(99))
	}
}

func TestLongMessagesAreCut(t *testing.T) {
	w := newTestWorld(t, Limits{}, `function f() error(("x"):rep(1e6)) end`)
	_, err := w.Call(fn(t, w, "f"), CallOptions{}, 0)
	if e := asError(t, err); len(e.Message) > maxMessage+8 || e.Line != 1 {
		t.Errorf("line %d, a message of %d bytes", e.Line, len(e.Message))
	}
}

func TestTraceback(t *testing.T) {
	w := newTestWorld(t, Limits{}, "local function deep(x)\n  return x.y.z\nend\nfunction f(m)\n  local r = deep(m)\n  return r\nend")
	_, err := w.Call(fn(t, w, "f"), CallOptions{}, 1, newTable())
	const want = "stack traceback:\n\ttest.lua:2: in function 'deep'\n\ttest.lua:5: in main chunk"
	if e := asError(t, err); e.Traceback != want {
		t.Errorf("got\n%s\nwant\n%s", e.Traceback, want)
	}
}

// TestNamesWithColons: positions are found by the names of the chunks, whatever is in them.
func TestNamesWithColons(t *testing.T) {
	w := NewWorld(Limits{})
	w.Lock()
	defer w.Unlock()
	err := w.Run(mustCompile(t, `C:\rules\a.lua`, "\nerror('x:1: y')"))
	if e := asError(t, err); e.File != `C:\rules\a.lua` || e.Line != 2 || e.Message != "x:1: y" {
		t.Errorf("got %+v", e)
	}
}

// TestThreadsAreKept: one that worked is used again; one that failed, or whose stack has grown, is not.
func TestThreadsAreKept(t *testing.T) {
	w := newTestWorld(t, Limits{}, `
		function ok() end
		function fails() error("x") end
		function grows() local t = {} return select("#", unpack(t, 1, 8000), unpack(t, 1, 8000)) + (function(...) return (function(...) return select("#", ...) end)(0, ...) end)(unpack(t, 1, 8000)) end`)
	for name, kept := range map[string]bool{"ok": true, "fails": false, "grows": false} {
		w.free = nil
		_, err := w.Call(fn(t, w, name), CallOptions{}, 1)
		if (err != nil) != (name == "fails") || (len(w.free) == 1) != kept {
			t.Errorf("%s: %v, %d threads kept", name, err, len(w.free))
		}
	}
}

func TestResultsArePadded(t *testing.T) {
	w := newTestWorld(t, Limits{}, `function f() return 1 end`)
	res, err := w.Call(fn(t, w, "f"), CallOptions{}, 3)
	if err != nil || len(res) != 3 || res[0] != lua.LNumber(1) || res[1] != lua.LNil || res[2] != lua.LNil {
		t.Errorf("got %v, %v", res, err)
	}
	if !strings.Contains(w.NewFunction(luaNext).String(), "function") {
		t.Error("NewFunction made no function")
	}
}
