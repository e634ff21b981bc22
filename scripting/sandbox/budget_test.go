package sandbox

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lua "github.com/yuin/gopher-lua"
)

func TestUsedIsExact(t *testing.T) {
	w := newTestWorld(t, Limits{}, `
		function empty() end
		function ten() for i = 1, 10 do end end
		function charges() charge(1000) end`)
	w.SetGlobal("charge", w.NewFunction(func(L *lua.LState) int { Charge(L, int64(L.CheckInt(1))); return 0 }))
	for name, want := range map[string]int64{"empty": 1, "ten": 16, "charges": 1004} {
		if _, err := w.Call(fn(t, w, name), CallOptions{}, 0); err != nil || w.Used() != want {
			t.Errorf("%s used %d instructions, %v, want %d", name, w.Used(), err, want)
		}
	}
}

func TestBudgetOfACall(t *testing.T) {
	w := newTestWorld(t, Limits{}, `function loop(n) for i = 1, n do end return n end`)
	loop := fn(t, w, "loop")
	if _, err := w.Call(loop, CallOptions{Budget: 500}, 1, lua.LNumber(400)); err != nil {
		t.Errorf("400 rounds in 500 instructions: %v", err)
	}
	_, err := w.Call(loop, CallOptions{Budget: 500}, 1, lua.LNumber(600))
	if e := asError(t, err); e.Kind != Budget || e.Used != 500 || e.Error() != "test.lua:1: the call used up its budget of 500 instructions" {
		t.Errorf("600 rounds in 500 instructions: %v, %d used", e, e.Used)
	}
	if res, err := w.Call(loop, CallOptions{Budget: 1 << 40}, 1, lua.LNumber(1e5)); err != nil || res[0] != lua.LNumber(1e5) {
		t.Errorf("the next call: %v, %v", res, err)
	}
}

func TestDeadline(t *testing.T) {
	for name, body := range map[string]string{
		"loop":             `while true do end`,
		"pcall":            `while true do pcall(function() while true do end end) end`,
		"coroutine":        `while true do coroutine.wrap(function() while true do end end)() end`,
		"pattern":          `return (("a"):rep(1e5)):find("a*a*a*a*b")`,
		"slow instruction": `local a, b = ("x"):rep(4e6) .. "a", ("x"):rep(4e6) .. "b" while true do local c = a < b end`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, Limits{Budget: 1 << 50, Deadline: time.Millisecond}, "function f() "+body+" end function ok() for i = 1, 1000 do end return 1 end")
			_, err := w.Call(fn(t, w, "f"), CallOptions{}, 0)
			if e := asError(t, err); e.Kind != Deadline || e.Line != 1 || !strings.Contains(e.Message, "more than 1ms") {
				t.Errorf("got %v (%v)", e, e.Kind)
			}
		})
	}
}

// TestRelease: the time that a call waits is not the world's, others run meanwhile, and the call finds
// the world as it left it.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(Limits{})
		wait := make(chan string)
		w.Register("net", map[string]lua.LGFunction{"get": func(L *lua.LState) int {
			var got string
			Release(L, func() { got = <-wait })
			L.Push(lua.LString(got))
			return 1
		}})
		w.Lock()
		if err := w.Run(mustCompile(t, "test.lua", `
			co = coroutine.create(function() local got = net.get() coroutine.yield(got) return "end" end)
			function waits(id) for i = 1, 1000 do end local got = net.get() for i = 1, 1000 do end return id .. got end
			function resumes() local ok, v = coroutine.resume(co) return v end
			function status() return coroutine.status(co) end`)); err != nil {
			t.Fatal(err)
		}
		w.Unlock()
		call := func(name, host string, args ...lua.LValue) string {
			w.Lock()
			defer w.Unlock()
			res, err := w.Call(fn(t, w, name), CallOptions{Ctx: host}, 1, args...)
			if err != nil {
				return err.Error()
			}
			return res[0].String()
		}
		answers := make(chan string)
		go func() { answers <- call("waits", "a", lua.LString("a")) }()
		synctest.Wait()
		go func() { answers <- call("resumes", "b") }()
		synctest.Wait()
		time.Sleep(time.Hour) // virtual: far beyond the deadline
		if got := call("status", "c"); got != "running" {
			t.Errorf("the coroutine that waits is %s", got)
		}
		if got := call("resumes", "c"); got != "cannot resume a coroutine that another event runs" {
			t.Errorf("resuming it from another event: %s", got)
		}
		wait <- "1"
		if got := <-answers; got != "a1" {
			t.Errorf("the first call returned %s", got)
		}
		wait <- "2"
		if got := <-answers; got != "2" {
			t.Errorf("the second call returned %s", got)
		}
		if got := call("resumes", "c"); got != "end" {
			t.Errorf("the coroutine, resumed by another event: %s", got)
		}
	})
}

func TestHost(t *testing.T) {
	w := NewWorld(Limits{})
	w.Lock()
	defer w.Unlock()
	var seen []any
	w.SetGlobal("look", w.NewFunction(func(L *lua.LState) int { seen = append(seen, Host(L)); return 0 }))
	if err := w.Run(mustCompile(t, "test.lua", `look() function h() look() coroutine.wrap(look)() end`)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Call(fn(t, w, "h"), CallOptions{Ctx: 7}, 0); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[0] != nil || seen[1] != 7 || seen[2] != 7 {
		t.Errorf("hosts seen: %v", seen)
	}
}

func TestCallDoesNotAllocate(t *testing.T) {
	w := newTestWorld(t, Limits{}, `function handler(msg) return msg end`)
	h, ud := fn(t, w, "handler"), &lua.LUserData{Metatable: lua.LNil}
	opts := CallOptions{Ctx: w}
	if n := testing.AllocsPerRun(100, func() {
		if res, err := w.Call(h, opts, 1, ud); err != nil || res[0] != ud {
			t.Fatal(res, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
}

func TestPushString(t *testing.T) {
	w := newTestWorld(t, Limits{MaxString: 100}, `function f(n) return make(n) end`)
	w.SetGlobal("make", w.NewFunction(func(L *lua.LState) int { PushString(L, strings.Repeat("x", L.CheckInt(1))); return 1 }))
	if res, err := w.Call(fn(t, w, "f"), CallOptions{}, 1, lua.LNumber(100)); err != nil || len(res[0].String()) != 100 {
		t.Errorf("100 bytes: %v, %v", res, err)
	}
	_, err := w.Call(fn(t, w, "f"), CallOptions{}, 1, lua.LNumber(101))
	if e := asError(t, err); e.Kind != Memory || e.Error() != "test.lua:1: string of 101 bytes is too long (100 at most)" {
		t.Errorf("101 bytes: %v (%v)", e, e.Kind)
	}
}

// TestGoPanic: a defect of a library ends the call, not the process.
func TestGoPanic(t *testing.T) {
	w := newTestWorld(t, Limits{}, `
		function f() broken() end
		function g() return pcall(broken) end
		function h() return coroutine.resume(coroutine.create(broken)) end`)
	w.SetGlobal("broken", w.NewFunction(func(*lua.LState) int { panic("a nil map") }))
	_, err := w.Call(fn(t, w, "f"), CallOptions{}, 0)
	if e := asError(t, err); e.Kind != Internal || e.Line != 2 || !strings.Contains(e.Message, "nil map") {
		t.Errorf("got %v (%v)", e, e.Kind)
	}
	for _, name := range []string{"g", "h"} {
		if res, err := w.Call(fn(t, w, name), CallOptions{}, 2); err != nil || res[0] != lua.LFalse {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
	if res, err := w.Call(fn(t, w, "tostring"), CallOptions{}, 1, lua.LNumber(7)); err != nil || res[0] != lua.LString("7") {
		t.Errorf("afterwards: %v, %v", res, err)
	}
}

// TestUpvaluesOfFailedCalls: a closure kept by a failed call has its own value, not the next caller's.
func TestUpvaluesOfFailedCalls(t *testing.T) {
	w := newTestWorld(t, Limits{}, `
		kept = {}
		function fails(v, how)
			local secret = v
			kept.get = function() return secret end
			if how == "error" then error("x") elseif how == "panic" then broken() else while true do end end
		end
		function other(v) local a, b, c, d, e = v, v, v, v, v return kept.get() end`)
	w.SetGlobal("broken", w.NewFunction(func(*lua.LState) int { panic("broken") }))
	for _, how := range []string{"error", "panic", "loop"} {
		if _, err := w.Call(fn(t, w, "fails"), CallOptions{Budget: 5000}, 0, lua.LString("alice"), lua.LString(how)); err == nil {
			t.Fatal("no error")
		}
		res, err := w.Call(fn(t, w, "other"), CallOptions{}, 1, lua.LString("bob"))
		if err == nil && res[0] == lua.LString("bob") {
			t.Errorf("%s: alice's closure reads bob's value", how)
		}
		if how != "panic" && (err != nil || res[0] != lua.LString("alice")) {
			t.Errorf("%s: the closure reads %v, %v", how, res, err)
		}
	}
}

// TestWait: what waits too long ends the call, in pcall too; a panic is a script error; the rest goes on.
func TestWait(t *testing.T) {
	w := newTestWorld(t, Limits{WaitLimit: time.Millisecond}, `
		function late() while true do pcall(forever) end end
		function twice() brief() brief() end
		function broken() return pcall(panics) end`)
	w.SetGlobal("forever", w.NewFunction(func(L *lua.LState) int {
		Wait(L, func(time.Duration) { <-t.Context().Done() })
		return 0
	}))
	w.SetGlobal("brief", w.NewFunction(func(L *lua.LState) int {
		Wait(L, func(left time.Duration) {
			if left <= 0 || left > time.Minute {
				t.Errorf("%v are left", left)
			}
		})
		return 0
	}))
	w.SetGlobal("panics", w.NewFunction(func(L *lua.LState) int {
		Wait(L, func(time.Duration) { panic("oh") })
		return 0
	}))
	_, err := w.Call(fn(t, w, "late"), CallOptions{}, 0)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Waiting || e.Line != 2 || e.Message != "the call waited for more than 1ms in all" {
		t.Errorf("late: %+v", err)
	}
	w.limits.WaitLimit = time.Minute
	if _, err := w.Call(fn(t, w, "twice"), CallOptions{}, 0); err != nil {
		t.Error(err)
	}
	if res, err := w.Call(fn(t, w, "broken"), CallOptions{}, 2); err != nil || res[0] != lua.LFalse || !strings.Contains(res[1].String(), "internal error: oh") {
		t.Errorf("a panic: %v, %v", res, err)
	}
	if w.TryLock() {
		t.Error("the world is not locked after waiting")
	}
}

type longHost struct{ told int }

func (h *longHost) TakesLong() { h.told++ }

// TestTakesLong: the host of a call that takes long is told, once.
func TestTakesLong(t *testing.T) {
	w := NewWorld(Limits{})
	w.Lock()
	defer w.Unlock()
	if err := w.Run(mustCompile(t, "long.lua", "function spin(n) for i = 1, n do end end")); err != nil {
		t.Fatal(err)
	}
	h := new(longHost)
	for _, c := range []struct{ n, told int }{{10, 0}, {2 * yieldFuel, 1}, {10, 0}, {20 * yieldFuel, 1}} {
		h.told = 0
		if _, err := w.Call(w.Global("spin").(*lua.LFunction), CallOptions{Ctx: h}, 0, lua.LNumber(c.n)); err != nil {
			t.Fatal(err)
		}
		if h.told != c.told {
			t.Errorf("%d rounds: told %d times, want %d", c.n, h.told, c.told)
		}
	}
}
