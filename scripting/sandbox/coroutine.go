package sandbox

import (
	"context"
	"errors"
	"strings"

	"github.com/yuin/gopher-lua/parse"

	lua "github.com/yuin/gopher-lua"
)

// A coroutine is the context of a coroutine's thread. gopher-lua would give a new thread a
// context.WithCancel of its creator's, which counts nothing.
type coroutine struct {
	*meter         // of the call that resumes it
	made     int64 // the call that made it: only that one counts it as unfinished
	state    coState
	barriers int // Go calls on its stack that a yield cannot cross

	// returning says that it did `return coroutine.yield(…)`: what it is resumed with is its result.
	// gopher-lua has taken its last frame away and would dereference nil.
	returning bool

	// yielded is set until it is resumed. An instruction meanwhile means that it yielded out of a
	// metamethod or an iterator: gopher-lua has gone on with it as if it had been resumed.
	yielded bool
}

type coState int

const (
	coSuspended coState = iota
	coRunning           // here, or in a call that waits
	coNormal            // has resumed another one
	coDead
)

var coStateNames = [...]string{"suspended", "running", "normal", "dead"}

// Done counts for the call under way.
func (c *coroutine) Done() <-chan struct{} {
	if c.yielded {
		return closedChan
	}
	m := c.meter
	m.fuel--
	if m.fuel < 0 || m.alarm.Load() {
		return m.refuel()
	}
	return nil
}

func (c *coroutine) Err() error {
	if c.yielded {
		return errYield
	}
	return c.meter.Err()
}

var errYield = errors.New("attempt to yield across a metamethod or an iterator")

var _ context.Context = (*coroutine)(nil)

var coroutineFuncs = map[string]lua.LGFunction{
	"create":  func(L *lua.LState) int { L.Push(newCoroutine(L)); return 1 },
	"resume":  coResume,
	"running": coCurrent,
	"status":  coStatus,
	"wrap":    coWrap,
	"yield":   coYield,
}

// newCoroutine makes a suspended coroutine of the function that is argument 1.
func newCoroutine(L *lua.LState) *lua.LState {
	fn := L.CheckFunction(1)
	m := meterOf(L)
	if m.live >= m.world.limits.MaxThreads {
		m.raise(L, Memory, "too many unfinished coroutines")
	}
	m.charge(L, coroutineCost)
	if fn.IsG { // gopher-lua never returns from a coroutine that is a Go function
		L.Push(L.NewFunctionFromProto(luaBody))
		L.Push(fn)
		L.Call(1, 1)
		L.Replace(1, L.Get(-1))
		L.Pop(1)
	}
	own, options := L.RemoveContext(), L.Options
	L.Options = lua.Options{
		CallStackSize:    coroutineDepth,
		RegistrySize:     coroutineStart,
		RegistryMaxSize:  coroutineMax,
		RegistryGrowStep: coroutineStart,
	}
	n := originals.create(L)
	th := L.Get(-1).(*lua.LState)
	L.Pop(n)
	L.Options = options
	L.SetContext(own)
	th.SetContext(&coroutine{meter: m, made: m.serial})
	m.live++
	return th
}

// luaBody makes a Lua function that calls its argument.
var luaBody = func() *lua.FunctionProto {
	const source = "local f = ... return function(...) return f(...) end"
	stmts, err := parse.Parse(strings.NewReader(source), "[G]")
	if err != nil {
		panic(err)
	}
	proto, err := lua.Compile(stmts, "[G]")
	if err != nil {
		panic(err)
	}
	return proto
}()

func checkCoroutine(L *lua.LState, n int) (*lua.LState, *coroutine) {
	th := L.CheckThread(n)
	c, ok := th.Context().(*coroutine)
	if !ok {
		argError(L, n, "coroutine expected")
	}
	return th, c
}

// coResume is coroutine.resume; its first argument is the coroutine.
func coResume(L *lua.LState) int {
	th, c := checkCoroutine(L, 1)
	m := meterOf(L)
	if reason := refuse(m, c); reason != "" {
		L.Push(lua.LFalse)
		L.Push(lua.LString(reason))
		return 2
	}
	if c.returning {
		c.meter = m
		c.finish(m)
		L.Replace(1, lua.LTrue)
		return L.GetTop()
	}
	return resume(L, th, c, m)
}

// refuse says why c cannot be resumed; "" if it can.
func refuse(m *meter, c *coroutine) string {
	switch {
	case c.state == coDead:
		return "cannot resume dead coroutine"
	case c.state != coSuspended && c.meter != m:
		return "cannot resume a coroutine that another event runs"
	case c.state != coSuspended:
		return "cannot resume non-suspended coroutine"
	case m.nesting >= m.world.limits.MaxNesting:
		return "coroutines resumed too deeply inside each other"
	}
	return ""
}

func resume(L, th *lua.LState, c *coroutine, m *meter) (n int) {
	outer, _ := L.Context().(*coroutine)
	if outer != nil {
		outer.state = coNormal
	}
	c.meter, c.state, c.yielded = m, coRunning, false
	m.nesting++
	panicked := true
	defer func() {
		m.nesting--
		if outer != nil {
			outer.state = coRunning
		}
		if panicked {
			c.finish(m)
		}
		L.G.CurrentThread = L
		if panicked && c.yielded && m.over == 0 {
			_ = recover() // its text is lost: the registers of the thread are off by then
			L.Push(lua.LFalse)
			L.Push(lua.LString(resumedAt(L) + errYield.Error()))
			n = 2
		}
	}()
	n = originals.resume(L)
	panicked = false
	if m.over != 0 {
		L.RaiseError("%s", m.Err().Error())
	}
	if th.Dead {
		c.finish(m)
		if L.Get(-n) == lua.LFalse {
			chargeError(L, L.Get(-1))
		}
	} else {
		c.state = coSuspended
		_, inside := th.GetStack(0)
		c.returning = !inside
	}
	return n
}

// resumedAt is "file:line: " of the script that called the library function under way.
func resumedAt(L *lua.LState) string {
	for level := range callDepth {
		switch where := L.Where(level); {
		case where == "":
			return ""
		case !strings.HasPrefix(where, "[G]"):
			return where + " "
		}
	}
	return ""
}

func (c *coroutine) finish(m *meter) {
	c.state = coDead
	if c.made == m.serial {
		m.live--
	}
}

func coYield(L *lua.LState) int {
	c, ok := L.Context().(*coroutine)
	if !ok {
		L.RaiseError("attempt to yield from outside a coroutine")
	}
	if c.barriers > 0 {
		L.RaiseError("attempt to yield across a call of a library function")
	}
	c.yielded = true
	return -1 // gopher-lua's sign of a yield
}

func coCurrent(L *lua.LState) int {
	if _, ok := L.Context().(*coroutine); !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(L)
	return 1
}

func coStatus(L *lua.LState) int {
	_, c := checkCoroutine(L, 1)
	L.Push(lua.LString(coStateNames[c.state]))
	return 1
}

// coWrap makes a function that resumes; errors go on in the caller. gopher-lua's own wrap leaves the
// dead thread current when it fails.
func coWrap(L *lua.LState) int {
	th := newCoroutine(L)
	L.Push(L.NewFunction(func(L *lua.LState) int {
		L.Insert(th, 1)
		n := coResume(L)
		if lua.LVAsBool(L.Get(-n)) {
			return n - 1
		}
		L.Error(L.Get(-1), 0) // a text has its position already
		return 0
	}))
	return 1
}
