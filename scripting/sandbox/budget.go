package sandbox

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// firstFuel is spent before the clock is looked at for the first time: a short handler never pays for
// the deadline (a clock read and a timer are about 200 ns, half a call).
const firstFuel = 256

// yieldFuel is spent, some 100 µs, before a call lets others run for once (letOthers). Go does so every 10 ms,
// and Linux every few: with that, a message that meets no rule took up to 7 ms while a rule looped
// (BenchmarkPairUnderAttack), and 0.2 to 0.5 ms now.
const yieldFuel = 10_000

// tellFuel is spent, some 30 µs, before the host is told that a call takes long. With
// 10 000, a message beside a rule of a millisecond took up to 0.7 ms in place of 0.5
// (BenchmarkPairUnderAttack); what a pair with a rule of 3000, or one that reads 40 KiB, can
// pass on stayed the same.
const tellFuel = 2000

// A meter counts the instructions of one call. gopher-lua asks the context of a thread for Done before
// each instruction; the meter is that context. A context of the standard library costs more and cannot
// count.
//
// The deadline is a timer that sets alarm, and not a look at the clock every few thousand instructions:
// a comparison of two long strings is one instruction of milliseconds.
type meter struct {
	// Owned by whoever holds the world:
	fuel   int64 // what is left of the part handed out
	rest   int64 // what is left beyond it
	budget int64
	spent  int64 // when the deadline ended the call
	over   Kind  // Budget, Deadline or Waiting once one of them has ended the call
	armed  bool
	long   bool          // tellFuel is spent
	since  time.Time     // when the world was last taken, while armed
	held   time.Duration // before since
	limit  time.Duration
	waited time.Duration // in library calls
	timer  *time.Timer

	goNext, osNext time.Time // when Go and the system may be yielded to again

	world    *World
	serial   int64 // of the call, unique in the world
	host     any
	live     int // unfinished coroutines made by this call
	nesting  int
	protects []int // registry bases of the pcalls under way, of all threads of the call

	lastKind Kind // of the last error raised by raise
	lastText string

	alarm atomic.Bool // set by the timer
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (m *meter) start(budget int64, limit time.Duration, host any) {
	m.world.calls++
	m.serial = m.world.calls
	m.budget, m.limit, m.host = budget, limit, host
	m.fuel = min(budget, firstFuel)
	m.rest = budget - m.fuel
	m.over, m.lastKind, m.lastText = 0, 0, ""
	m.armed, m.long, m.held, m.waited = false, false, 0, 0
	m.live, m.nesting = 0, 0
	m.protects = m.protects[:0]
}

func (m *meter) stop() {
	m.pause()
	m.host = nil
}

// used is what the call was charged, at most its budget.
func (m *meter) used() int64 {
	if m.over == Deadline || m.over == Waiting {
		return m.spent
	}
	return min(m.budget, m.budget-m.rest-m.fuel)
}

// Done is asked before every instruction.
func (m *meter) Done() <-chan struct{} {
	m.fuel--
	if m.fuel < 0 || m.alarm.Load() {
		return m.refuel()
	}
	return nil
}

func (m *meter) refuel() <-chan struct{} {
	if m.check() != 0 {
		return closedChan
	}
	return nil
}

// check hands out what is left of the budget, looks at the deadline, and says what has ended the call.
func (m *meter) check() Kind {
	if m.over != 0 {
		return m.over
	}
	if m.fuel < 0 && m.fuel+m.rest < 0 {
		m.over, m.fuel, m.rest = Budget, -1, 0
		return Budget
	}
	switch {
	case !m.armed:
		m.arm()
	case !m.alarm.Swap(false):
		m.letOthers()
	case m.held+time.Since(m.since) >= m.limit:
		m.end(Deadline)
		return Deadline
	default:
		m.timer.Reset(m.limit - m.held - time.Since(m.since)) // the alarm was an earlier call's
	}
	if m.fuel < 0 {
		part := min(m.rest, m.next()-m.fuel)
		m.fuel, m.rest = m.fuel+part, m.rest-part
	}
	return 0
}

// next is the fuel to spend until the host is told, or others are let run.
func (m *meter) next() int64 {
	if m.long {
		return yieldFuel
	}
	return tellFuel
}

// letOthers tells the host, the first time. From then on it lets others run: the goroutines of this
// processor, and the threads of this core. It gives neither more than a fifth of its time: where they are
// many, they get their share anyway. Each has a fifth of its own: where other programs are busy, a turn of
// the system's takes 3 ms, and goroutines do not wait for the next.
func (m *meter) letOthers() {
	if !m.long {
		m.long = true
		if h, ok := m.host.(interface{ TakesLong() }); ok {
			h.TakesLong()
		}
		return
	}
	now := time.Now()
	if now.After(m.goNext) {
		began := now
		runtime.Gosched()
		now = time.Now()
		m.goNext = now.Add(4 * now.Sub(began))
	}
	if now.After(m.osNext) {
		yieldThread()
		after := time.Now()
		m.osNext = after.Add(4 * after.Sub(now))
	}
}

// end ends the call: each further instruction raises the error.
func (m *meter) end(why Kind) {
	m.over = why
	m.spent = m.budget - m.rest - m.fuel
	m.rest, m.fuel = 0, -1
}

func (m *meter) arm() {
	m.armed, m.since = true, time.Now()
	m.alarm.Store(false)
	if m.timer == nil {
		m.timer = time.AfterFunc(m.limit-m.held, func() { m.alarm.Store(true) })
		return
	}
	m.timer.Reset(m.limit - m.held)
}

// pause takes the time until the next arm out of the deadline, and says whether it was running.
func (m *meter) pause() bool {
	if !m.armed {
		return false
	}
	m.timer.Stop()
	m.armed = false
	m.held += time.Since(m.since)
	return true
}

func (m *meter) Err() error {
	switch m.over {
	case Deadline:
		return fmt.Errorf("the call held its world for more than %v", m.limit)
	case Waiting:
		return fmt.Errorf("the call waited for more than %v in all", m.world.limits.WaitLimit)
	case Budget:
		return fmt.Errorf("the call used up its budget of %d instructions", m.budget)
	}
	return nil
}

func (m *meter) Deadline() (time.Time, bool) { return time.Time{}, false }
func (m *meter) Value(any) any               { return nil }

var _ context.Context = (*meter)(nil)

// charge takes n instructions; it raises the error that cannot be caught when they are not there.
func (m *meter) charge(L *lua.LState, n int64) {
	m.fuel -= n
	if (m.fuel < 0 || m.alarm.Load()) && m.check() != 0 {
		L.RaiseError("%s", m.Err().Error())
	}
}

// meterOf is the meter of the call that L runs in.
func meterOf(L *lua.LState) *meter {
	switch c := L.Context().(type) {
	case *meter:
		return c
	case *coroutine:
		return c.meter
	}
	panic("sandbox: a thread that belongs to no call")
}

// Charge makes the running call pay n instructions for work done in Go, about 20 ns each. When the
// budget is used up it raises the error that scripts cannot catch. Charge before the work, and charge
// for strings that come from outside by their length (1 per 64 bytes): what Lua does with a long string
// is one instruction however long it takes.
func Charge(L *lua.LState, n int64) { meterOf(L).charge(L, n) }

// Host is the value given as CallOptions.Ctx for the running call; nil while a file loads.
func Host(L *lua.LState) any { return meterOf(L).host }

// Release runs fn, which may wait, while others use the world; the time is not the call's. fn must not
// touch Lua values.
func Release(L *lua.LState, fn func()) {
	m := meterOf(L)
	w := m.world
	current := w.state.G.CurrentThread
	armed := m.pause()
	w.Unlock()
	defer func() {
		w.Lock()
		w.state.G.CurrentThread = current
		if armed {
			m.arm()
		}
	}()
	fn()
}

// Wait is Release for what may take long: fn runs on a goroutine of its own, and the call ends, by an error
// that scripts cannot catch, when all its waiting takes longer than Limits.WaitLimit. fn is told how much
// of that is left; it goes on to its end, and what it writes is not to be read then. That it panicked is
// a script error.
func Wait(L *lua.LState, fn func(left time.Duration)) {
	m := meterOf(L)
	left := m.world.limits.WaitLimit - m.waited
	began, done := time.Now(), make(chan any, 1)
	late := time.NewTimer(left)
	defer late.Stop()
	var panicked any
	ended := false
	Release(L, func() {
		go func() {
			defer func() { done <- recover() }()
			fn(left)
		}()
		select {
		case panicked = <-done:
			ended = true
		case <-late.C:
		}
	})
	if m.waited += time.Since(began); !ended || m.waited >= m.world.limits.WaitLimit {
		m.end(Waiting)
		L.RaiseError("%s", m.Err().Error())
	}
	if panicked != nil {
		L.RaiseError("internal error: %v", panicked)
	}
}

// CheckString is argument n as a string (numbers are converted), as the string library takes it.
func CheckString(L *lua.LState, n int) string { return checkText(L, n) }

// PushString pushes a string that a library has built: its length is checked and charged.
func PushString(L *lua.LState, s string) {
	CheckLength(L, len(s))
	L.Push(lua.LString(s))
}

// CheckLength is to be called before a string of n bytes is built: it charges for it, and raises an
// error if it is longer than a script may build.
func CheckLength(L *lua.LState, n int) {
	m := meterOf(L)
	if n > m.world.limits.MaxString {
		m.raise(L, Memory, fmt.Sprintf("string of %d bytes is too long (%d at most)", n, m.world.limits.MaxString))
	}
	if n >= builtPerInstruction {
		m.charge(L, int64(n/builtPerInstruction))
	}
}

// raise raises an error that scripts can catch and that keeps its kind if they do not.
func (m *meter) raise(L *lua.LState, kind Kind, text string) {
	m.lastKind, m.lastText = kind, text
	L.RaiseError("%s", text)
}
