package scripting

import (
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/sandbox"
)

// testCase is one test(name, fn) of a file.
type testCase struct {
	name string
	at   string // "file_test.lua:3"
	line int
	fn   *lua.LFunction
}

// openTests makes test, try, expect and clock in the tester's world, and
// takes away what only rules may do. add gets the tests of the file that loads.
func (t *trial) openTests(add func(testCase) error) {
	w := t.tester
	refused := make(map[string]lua.LGFunction)
	for _, name := range w.Names("mqtt") {
		if _, ok := w.Lib("mqtt", name).(*lua.LFunction); ok && name != "match" {
			refused[name] = refuseInTest("mqtt." + name)
		}
	}
	w.Register("mqtt", refused)
	calls := make(map[string]lua.LGFunction)
	for name, k := range trials {
		calls[name] = t.tryCall("try."+name, k)
	}
	w.Register("try", calls)
	w.Register("clock", map[string]lua.LGFunction{"now": t.clockNow, "advance": t.clockAdvance})
	w.SetGlobal("test", newFunction(t.testCall(add)))
	meta := protectedMeta("expectation", expectations)
	w.SetGlobal("expect", newFunction(func(L *lua.LState) int {
		inTest(L, "expect")
		if L.GetTop() != 1 {
			L.RaiseError("expect takes one value, it got %d", L.GetTop())
		}
		L.Push(&lua.LUserData{Value: &expectation{t: t, got: L.Get(1)}, Metatable: meta})
		return 1
	}))
}

func refuseInTest(name string) lua.LGFunction {
	return func(L *lua.LState) int {
		L.RaiseError("%s is for rules: a test calls try.publish{…} and the like, and looks at what comes of it", name)
		return 0
	}
}

// inTest is the call of the test that runs.
func inTest(L *lua.LState, name string) *call {
	c := running(L)
	if c == nil {
		L.RaiseError("%s: %v", name, errNotInTest)
	}
	return c
}

// testCall is test(name, fn).
func (t *trial) testCall(add func(testCase) error) lua.LGFunction {
	return func(L *lua.LState) int {
		argNone(L, 2, "test")
		if running(L) != nil {
			L.RaiseError("test in a test: tests stand beside each other in the file")
		}
		name := argBytes(L, 1, "test", "the name")
		fn, ok := L.Get(2).(*lua.LFunction)
		if !ok {
			L.RaiseError("test: want (name, function), argument 2 is %s", describe(L.Get(2)))
		}
		if err := add(testCase{name: name, at: place(L), fn: fn}); err != nil {
			L.RaiseError("test: %v", err)
		}
		return 0
	}
}

// tryCost is what trying one event costs the test, in instructions: it is some
// microseconds, and the handlers have budgets of their own.
const tryCost = 200

// tryCall is try.publish{…} and the like.
func (t *trial) tryCall(name string, k trialType) lua.LGFunction {
	return func(L *lua.LState) int {
		c := inTest(L, name)
		sandbox.Charge(L, tryCost)
		argNone(L, 1, name)
		table, ok := L.Get(1).(*lua.LTable)
		if L.GetTop() == 0 {
			table, ok = newTable(), true
		}
		if !ok {
			L.RaiseError("%s: want a table, %s{…}, not %s", name, name, describe(L.Get(1)))
		}
		r, err := t.fireTable(L, c, k, table)
		if err != nil {
			L.RaiseError("%s: %v", name, err)
		}
		L.Push(object(c, resultKind, r))
		return 1
	}
}

// clockNow is clock.now().
func (t *trial) clockNow(L *lua.LState) int {
	inTest(L, "clock.now")
	argNone(L, 0, "clock.now")
	L.Push(lua.LNumber(seconds(t.now)))
	return 1
}

// clockAdvance is clock.advance(seconds): what timers did meanwhile.
func (t *trial) clockAdvance(L *lua.LState) int {
	const call = "clock.advance"
	c := inTest(L, call)
	argNone(L, 1, call)
	d, err := toAdvance(argNumber(L, 1, call, "seconds"))
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	before := t.outcome
	t.outcome = new(outcome)
	r := &result{outcome: t.outcome}
	sandbox.Release(L, func() { t.advance(d) })
	t.outcome = before
	L.Push(object(c, resultKind, r))
	return 1
}

func toAdvance(s float64) (time.Duration, error) {
	d, ok := duration(s)
	if !ok || d > maxAdvance {
		return 0, fmt.Errorf("seconds must be above 0 and at most a century, not %v", s)
	}
	return d, nil
}

// toMoment wants seconds since 1970, as time.now() has them.
func toMoment(x lua.LValue) (time.Time, error) {
	n, ok := x.(lua.LNumber)
	if !ok {
		return time.Time{}, fmt.Errorf("must be a number of seconds since 1970, not %s", describe(x))
	}
	const most = float64(1<<63-1) / float64(time.Second)
	if f := float64(n); f >= 0 && f < most {
		return time.Unix(0, int64(f*float64(time.Second))), nil
	}
	return time.Time{}, fmt.Errorf("must be a number of seconds since 1970, not %s", n.String())
}
