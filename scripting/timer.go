package scripting

import (
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

const (
	// maxTimers bounds the timers of one generation.
	maxTimers = 10_000
	// minPeriod is the shortest mqtt.every: the timers of a generation run one
	// after another, and share their worlds with the events.
	minPeriod = 10 * time.Millisecond
	// timerCost is what making or cancelling a timer costs, in instructions.
	timerCost = 50
)

// timers are those of one generation, on one goroutine while some are due. They
// fire from start to pause, and never after end.
type timers struct {
	generation *generation

	mu sync.Mutex

	// Guarded by mu:
	due     timerHeap
	count   int // those waiting and the one being called
	serial  uint64
	running bool
	ended   bool
	calling *timer
	called  chan struct{} // closed when the call under way is over; nil without one
	wake    stopper       // nil while nothing is to come
}

// stopper is what the engine needs of a *time.Timer.
type stopper interface{ Stop() bool }

// timer is one mqtt.every or mqtt.after.
type timer struct {
	// Immutable:
	world   *world
	fn      *lua.LFunction
	handler *handler
	every   time.Duration // 0 once

	// Guarded by timers.mu:
	at        time.Time
	serial    uint64 // of two due at once, the older first
	place     int    // in the heap, -1 if not there
	cancelled bool
}

// add takes a timer in; after the end it is one that never fires.
func (ts *timers) add(t *timer, after time.Duration) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.ended {
		return nil
	}
	if ts.count == maxTimers {
		return fmt.Errorf("there are %d timers, the most a set of scripts may have", maxTimers)
	}
	ts.count++
	ts.serial++
	t.at, t.serial = ts.now().Add(after), ts.serial
	heap.Push(&ts.due, t)
	ts.armLocked()
	return nil
}

func (ts *timers) now() time.Time { return ts.generation.engine.options.Now() }

// cancel says whether the timer would have fired again.
func (ts *timers) cancel(t *timer) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	would := t.place >= 0 || ts.calling == t && t.every > 0
	if t.cancelled || !would {
		return false
	}
	t.cancelled = true
	if t.place >= 0 {
		heap.Remove(&ts.due, t.place)
		ts.count--
	}
	return true
}

// functions are those of a world's timers.
func (ts *timers) functions(w *world) []lua.LValue {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var out []lua.LValue
	for _, t := range ts.due {
		if t.world == w {
			out = append(out, t.fn)
		}
	}
	if t := ts.calling; t != nil && t.world == w {
		out = append(out, t.fn)
	}
	return out
}

// replace takes out the timers of a world that ends, and takes in those of the one
// in its place.
func (ts *timers) replace(old *world, pending []pendingTimer) error {
	ts.mu.Lock()
	for _, t := range slices.Clone(ts.due) {
		if t.world == old {
			t.cancelled = true
			heap.Remove(&ts.due, t.place)
			ts.count--
		}
	}
	if t := ts.calling; t != nil && t.world == old {
		t.cancelled = true
	}
	ts.mu.Unlock()
	for _, p := range pending {
		if err := ts.add(p.timer, p.after); err != nil {
			return fmt.Errorf("%s: %w", p.handler.by, err)
		}
	}
	return nil
}

// start lets the timers fire.
func (ts *timers) start() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.running = true
	ts.armLocked()
}

// pause lets no more timers fire, and waits for the call under way, but not
// beyond the limit; false if it goes on.
func (ts *timers) pause(limit time.Duration) bool {
	ts.mu.Lock()
	ts.running = false
	if ts.wake != nil {
		ts.wake.Stop()
		ts.wake = nil
	}
	called := ts.called
	ts.mu.Unlock()
	if called == nil {
		return true
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-called:
		return true
	case <-late.C:
		return false
	}
}

// end forgets the timers: they never fire again.
func (ts *timers) end() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.due {
		t.place = -1
	}
	ts.running, ts.ended, ts.due, ts.count = false, true, nil, 0
	if ts.wake != nil {
		ts.wake.Stop()
		ts.wake = nil
	}
}

// armLocked sets the clock to the next timer. While one is being called, that
// is left for afterwards.
func (ts *timers) armLocked() {
	if !ts.running || ts.calling != nil {
		return
	}
	if ts.wake != nil {
		ts.wake.Stop()
		ts.wake = nil
	}
	if len(ts.due) > 0 {
		ts.wake = ts.generation.engine.afterFunc(max(ts.due[0].at.Sub(ts.now()), 0), ts.fire)
	}
}

// fire calls the timers that are due, in order.
func (ts *timers) fire() {
	for t := ts.next(); t != nil; t = ts.next() {
		ts.call(t)
	}
}

// next is the timer to be called now, or nil.
func (ts *timers) next() *timer {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !ts.running || ts.calling != nil {
		return nil
	}
	if len(ts.due) == 0 || ts.due[0].at.After(ts.now()) {
		ts.armLocked()
		return nil
	}
	t := heap.Pop(&ts.due).(*timer)
	ts.calling, ts.called = t, make(chan struct{})
	return t
}

// call calls a timer's function, and then does what it has queued.
func (ts *timers) call(t *timer) {
	if h := t.handler; h.pauses.some.Load() && ts.generation.isPaused(h, nil) {
		h.skipped.Add(1)
		ts.done(t)
		return
	}
	ts.generation.engine.host.Act(func(turn *core.Turn) bool {
		defer ts.done(t)
		return t.world.invoke(invocation{handler: t.handler, fn: t.fn, turn: turn}) == nil
	})
}

// done puts a timer back that is to fire again. What was missed while the
// machine was busy is not caught up with.
func (ts *timers) done(t *timer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	close(ts.called)
	ts.calling, ts.called = nil, nil
	switch {
	case ts.ended:
	case t.every == 0 || t.cancelled:
		ts.count--
	default:
		t.at = t.at.Add(t.every)
		if late := ts.now().Sub(t.at); late > 0 {
			t.at = t.at.Add((late + t.every - 1).Truncate(t.every)) // the next beat
		}
		heap.Push(&ts.due, t)
	}
}

// timerKind is what the calls of timers belong to.
var timerKind = &ownKind{eventInfo{name: "timer", told: true, goesOn: true}}

// timerCalls are mqtt.every and mqtt.after: (seconds, function).
func (w *world) timerCalls() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{
		"every": func(L *lua.LState) int { return w.newTimer(L, "mqtt.every", minPeriod, true) },
		"after": func(L *lua.LState) int { return w.newTimer(L, "mqtt.after", 0, false) },
	}
}

func (w *world) newTimer(L *lua.LState, call string, least time.Duration, again bool) int {
	argNone(L, 2, call)
	sandbox.Charge(L, timerCost)
	s := argNumber(L, 1, call, "seconds")
	d, ok := duration(s)
	if s == 0 {
		d, ok = 0, true
	}
	switch {
	case !ok && s > 0:
		L.RaiseError("%s: seconds must be less than 292 years, not %v", call, s) // a time.Duration
	case !ok || d < least:
		L.RaiseError("%s: seconds must be at least %v, not %v", call, least.Seconds(), s)
	}
	fn, ok := L.Get(2).(*lua.LFunction)
	if !ok {
		L.RaiseError("%s: want (seconds, function), not %s", call, describe(L.Get(2)))
	}
	t := &timer{world: w, fn: fn, handler: &handler{info: timerKind.info(), by: place(L)}, place: -1}
	if again {
		t.every = d
	}
	switch {
	case w.loading == nil:
		if err := w.generation.timers.add(t, d); err != nil {
			L.RaiseError("%s: %v", call, err)
		}
	case w.nr == 0: // those of the file scope run in the first world
		w.loading.timers = append(w.loading.timers, pendingTimer{t, d})
	}
	L.Push(&lua.LUserData{Value: t, Metatable: w.timerMeta})
	return 1
}

// pendingTimer was made at file scope, and counts once the world is loaded.
type pendingTimer struct {
	*timer
	after time.Duration
}

// timerMethods are t:cancel().
var timerMethods = map[string]lua.LGFunction{
	"cancel": func(L *lua.LState) int {
		sandbox.Charge(L, timerCost)
		if ud, ok := L.Get(1).(*lua.LUserData); ok {
			if t, ok := ud.Value.(*timer); ok {
				argNone(L, 1, "timer:cancel")
				L.Push(boolean(t.cancel()))
				return 1
			}
		}
		L.RaiseError("timer:cancel: call it with a colon, timer:cancel()")
		return 0
	},
}

// cancel takes a timer out, also one that was made while the file loads.
func (t *timer) cancel() bool {
	if l := t.world.loading; l != nil {
		for i, p := range l.timers {
			if p.timer == t {
				l.timers = append(l.timers[:i], l.timers[i+1:]...)
				return true
			}
		}
		return false
	}
	return t.world.generation.timers.cancel(t)
}

// timerHeap orders timers by when they are due (container/heap).
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].serial < h[j].serial
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.place = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.place = -1
	return t
}
