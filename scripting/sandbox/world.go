package sandbox

import (
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// A World is one Lua global state. Everything but Lock, TryLock, Enter, Awaited, Pay and Unlock wants the
// lock held.
type World struct {
	queue  queue
	limits Limits

	// Guarded by the queue's lock:
	state   *lua.LState // never runs anything: the threads are made from it
	globals *lua.LTable // the environment of all functions; scripts see it through global only
	global  *lua.LTable // _G
	libs    map[string]*lua.LTable
	hidden  [len(hiddenNames)]lua.LValue
	closer  *lua.LFunction    // closeFailed
	chunks  map[string]*Chunk // by name, for error messages
	sealed  bool
	free    []*thread
	results []lua.LValue
	used    int64
	held    time.Duration
	calls   int64

	loader  func(name string) (*Chunk, error)
	modules map[string]lua.LValue
	loading []string
}

// A thread is a Lua thread with its meter, lent to one call at a time.
type thread struct {
	L     *lua.LState
	meter meter
}

// NewWorld makes a world with the libraries described in SCRIPT-API.md's sandbox: base, string, table,
// math, coroutine, os (time, date, clock) and debug (traceback).
func NewWorld(l Limits) *World {
	L := lua.NewState(lua.Options{
		CallStackSize:    callDepth,
		RegistrySize:     registryStart,
		RegistryMaxSize:  registryMax,
		RegistryGrowStep: registryGrowStep,
		SkipOpenLibs:     true,
	})
	L.G.MainThread, L.G.CurrentThread = L, L
	w := &World{
		limits:  l.withDefaults(),
		state:   L,
		globals: L.G.Global,
		libs:    map[string]*lua.LTable{},
		chunks:  map[string]*Chunk{},
		modules: map[string]lua.LValue{},
	}
	w.global = w.newGlobalTable()
	w.hidden = [...]lua.LValue{
		w.NewFunction(luaConcat), w.NewFunction(luaSetIndex), w.NewFunction(luaPush), w.NewFunction(luaCheckKey), w.NewFunction(luaAll), w.global,
	}
	w.closer = w.NewFunction(closeFailed)
	w.openLibs()
	return w
}

// Lock waits for the world before all that wait by Enter.
func (w *World) Lock()         { w.queue.lock() }
func (w *World) TryLock() bool { return w.queue.tryLock() }
func (w *World) Unlock()       { w.queue.unlock() }

// Enter locks the world when it is the caller's turn. The error is ErrQueueFull or ErrQueueTime.
func (w *World) Enter(t Ticket) error { return w.queue.enter(t) }

// Awaited is how many wait for the world.
func (w *World) Awaited() int { return int(w.queue.length.Load()) }

// Pay says, where others wait, whose turn is about to end and how long it held the world: the longer,
// the later that payer's next one.
func (w *World) Pay(payer uint64, held time.Duration) { w.queue.pay(payer, held) }

// NewFunction makes a Lua function of a Go one.
func (w *World) NewFunction(fn lua.LGFunction) *lua.LFunction { return w.state.NewFunction(fn) }

// SetGlobal sets a global, before Seal.
func (w *World) SetGlobal(name string, v lua.LValue) { w.globals.RawSetString(name, v) }

// Global is the global of that name, or nil. Library tables come as scripts see them.
func (w *World) Global(name string) lua.LValue { return w.globals.RawGetString(name) }

// Register adds functions to the read-only library table lib, which it makes if there is none yet.
func (w *World) Register(lib string, funcs map[string]lua.LGFunction) {
	for name, fn := range funcs {
		w.SetConst(lib, name, w.NewFunction(fn))
	}
}

// SetConst adds a value to the read-only library table lib.
func (w *World) SetConst(lib, name string, v lua.LValue) {
	t := w.libs[lib]
	if t == nil {
		t = newTable()
		w.libs[lib] = t
		w.SetGlobal(lib, w.ReadOnly(lib, t))
	}
	t.RawSetString(name, v)
}

// Seal ends loading: from now on scripts cannot assign globals.
func (w *World) Seal() { w.sealed = true }

// Used is the number of instructions the last call was charged.
func (w *World) Used() int64 { return w.used }

// Held is how long the last call held its world from its 256th instruction on; 0 if it was shorter.
func (w *World) Held() time.Duration { return w.held }

func newTable() *lua.LTable { return &lua.LTable{Metatable: lua.LNil} }

// The metatable of a read-only table has the real table as __index and this key.
const readOnlyMark = "(read-only)"

// ReadOnly is a face of t that scripts can read, and walk with pairs, but not change; name is for the
// error. Changes made to t show in it.
func (w *World) ReadOnly(name string, t *lua.LTable) *lua.LTable {
	return w.face(t, w.NewFunction(func(L *lua.LState) int {
		meterOf(L).raise(L, Sealed, fmt.Sprintf("cannot assign '%s': %s is read-only", keyText(L.Get(2)), name))
		return 0
	}))
}

func (w *World) face(t *lua.LTable, newindex *lua.LFunction) *lua.LTable {
	mt := newTable()
	mt.RawSetString("__index", t)
	mt.RawSetString("__newindex", newindex)
	mt.RawSetString("__metatable", lua.LFalse)
	mt.RawSetString(readOnlyMark, lua.LTrue)
	return &lua.LTable{Metatable: mt}
}

// behind is the table to read for t: the real one if t is the face of a read-only table.
func behind(t *lua.LTable) *lua.LTable {
	if mt, ok := t.Metatable.(*lua.LTable); ok && mt.RawGetString(readOnlyMark) == lua.LTrue {
		if real, ok := mt.RawGetString("__index").(*lua.LTable); ok {
			return real
		}
	}
	return t
}

// writable is argument n as a table that a library may change in place.
func writable(L *lua.LState, n int) *lua.LTable {
	t := L.CheckTable(n)
	if t.Metatable != lua.LNil && behind(t) != t {
		meterOf(L).raise(L, Sealed, "cannot change a read-only table")
	}
	return t
}

// newGlobalTable makes _G. Rewritten chunks assign globals through it.
func (w *World) newGlobalTable() *lua.LTable {
	g := w.face(w.globals, w.NewFunction(func(L *lua.LState) int {
		key := L.Get(2)
		if w.sealed {
			meterOf(L).raise(L, Sealed, fmt.Sprintf("assignment to global '%s' (a missing 'local'?)", keyText(key)))
		}
		L.RawSet(w.globals, key, L.Get(3))
		return 0
	}))
	return g
}

func keyText(v lua.LValue) string {
	const most = 64
	s := v.String()
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// CallOptions belong to one call.
type CallOptions struct {
	Budget int64 // instructions; 0 is Limits.Budget
	Ctx    any   // what Host returns during the call; one with TakesLong() is told when it has taken 2 000 instructions
}

// Call calls fn on a borrowed thread and returns nret results, which are valid until the world's next
// call. The error is an *Error.
func (w *World) Call(fn *lua.LFunction, c CallOptions, nret int, args ...lua.LValue) ([]lua.LValue, error) {
	t := w.borrow()
	if c.Budget <= 0 {
		c.Budget = w.limits.Budget
	}
	t.meter.start(c.Budget, w.limits.Deadline, c.Ctx)
	res, err := w.callOn(t, fn, nret, args)
	return res, w.giveBack(t, err)
}

// callOn makes one call within the meter already running.
func (w *World) callOn(t *thread, fn *lua.LFunction, nret int, args []lua.LValue) ([]lua.LValue, error) {
	L := t.L
	before := L.G.CurrentThread
	L.G.CurrentThread = L
	L.Push(fn)
	for _, a := range args {
		L.Push(a)
	}
	err := pcall(L, len(args), nret)
	L.G.CurrentThread = before
	if err != nil {
		return nil, err
	}
	w.results = w.results[:0]
	for i := range nret {
		w.results = append(w.results, L.Get(i-nret))
	}
	L.SetTop(0)
	return w.results, nil
}

// pcall is PCall, which itself panics where a tail call overflows the registry: gopher-lua then looks up
// the line of a function that has not begun, twice.
func pcall(L *lua.LState, nargs, nret int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e := &Error{Kind: Runtime, Message: plainPanic(fmt.Sprint(r))}
			if dbg, ok := L.GetStack(0); ok {
				if _, err := L.GetInfo("S", dbg, lua.LNil); err == nil && dbg.Source != "" {
					e.File, e.Line = dbg.Source, max(dbg.LineDefined, 1)
					e.Traceback = fmt.Sprintf("stack traceback:\n\t%s:%d: in a function called there", e.File, e.Line)
				}
			}
			err = e
		}
	}()
	return L.PCall(nargs, nret, nil)
}

// plainPanic says what the panic of such a tail call means.
func plainPanic(text string) string {
	if text == "runtime error: index out of range [-1]" {
		return "stack overflow (too many arguments in a tail call)"
	}
	return text
}

// Run runs the file scope of a chunk, under the budget.
func (w *World) Run(c *Chunk) error {
	t := w.borrow()
	t.meter.start(w.limits.Budget, w.limits.Deadline, nil)
	w.chunks[c.name] = c
	res, err := w.callOn(t, w.state.NewFunctionFromProto(c.proto), 1, w.hidden[:])
	if err == nil {
		_, err = w.callOn(t, res[0].(*lua.LFunction), 0, nil)
	}
	return w.giveBack(t, err)
}

func (w *World) borrow() *thread {
	if n := len(w.free); n > 0 {
		t := w.free[n-1]
		w.free = w.free[:n-1]
		return t
	}
	t := &thread{}
	t.L, _ = w.state.NewThread()
	t.meter.world = w
	t.L.SetContext(&t.meter)
	return t
}

// giveBack ends a call. A thread whose call failed is dropped: closures may still have its registers.
func (w *World) giveBack(t *thread, err error) error {
	t.meter.stop()
	w.used, w.held = t.meter.used(), t.meter.held
	if err != nil {
		return w.newError(err, &t.meter)
	}
	if len(w.free) < freeThreads && registryCap(t.L) <= registryKeep {
		w.free = append(w.free, t)
	}
	return nil
}
