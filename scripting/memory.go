package scripting

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// The memory of a world is what its rules keep between events: a table that grows
// with each message. It is measured in the background (sandbox.Measure). From
// memoryAlarm of Options.Memory on it is told; at Options.Memory the world is
// rebuilt: the files are loaded anew, with load handlers that are given nothing, as
// at a start, and the new world takes the old one's place. Events go on meanwhile,
// and those under way end in the old world. Its local variables are gone, and its
// timers; unload is not called. What is in kv or vars stays.
const (
	memoryAlarm = 0.8
	// memoryEvery is how often a world is measured; sooner where the heap of the
	// process has grown by memoryGrowth of the limit since.
	memoryEvery  = 10 * time.Second
	memoryGrowth = 0.25
	// memoryLook is how often the heap is looked at, which is cheap.
	memoryLook = time.Second
	// memorySlice is how many values are visited while the world is held: some 100 µs.
	memorySlice = 500
	// memoryRest is how long it is let be then, as a multiple of that.
	memoryRest = 9
	// minMemory bounds Options.Memory: libraries and some kept threads take about 1 MiB.
	minMemory = 4 << 20
)

// memories is the watch over the memory of the worlds. Owned by memoryLoop.
type memories struct {
	generation *generation
	measured   time.Time
	heap       int64 // then
}

// memoryLoop watches until ctx ends.
func (e *Engine) memoryLoop(ctx context.Context) {
	t := time.NewTicker(memoryLook)
	defer t.Stop()
	var m memories
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			e.watchMemory(ctx, &m, now, heapObjects())
		}
	}
}

// heapObjects is what the heap of the process holds, garbage included: no world
// holds more.
func heapObjects() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// watchMemory measures the worlds, if they can be too large and it is time.
func (e *Engine) watchMemory(ctx context.Context, m *memories, now time.Time, heap int64) {
	e.mu.Lock()
	g := e.inForce
	e.mu.Unlock()
	limit := e.options.Memory
	if g == nil || float64(heap) < memoryAlarm*float64(limit) && g.memoryText() == "" {
		return
	}
	if g == m.generation && now.Sub(m.measured) < memoryEvery && heap-m.heap < int64(memoryGrowth*float64(limit)) {
		return
	}
	for i := range g.seats {
		e.checkMemory(ctx, g, i)
	}
	m.generation, m.measured, m.heap = g, now, heapObjects()
}

// checkMemory measures one world, and rebuilds it when it is too large.
func (e *Engine) checkMemory(ctx context.Context, g *generation, nr int) {
	s := &g.seats[nr]
	before := s.memory.Load()
	bytes, err := g.measure(ctx, g.world(nr), e.options.Memory)
	if err != nil {
		return
	}
	s.memory.Store(bytes)
	alarm := int64(memoryAlarm * float64(e.options.Memory))
	switch {
	case bytes >= e.options.Memory:
		e.rebuild(ctx, g, nr, bytes)
	case bytes >= alarm && before < alarm:
		e.options.Log.Warn("a world of the rules is about to be too large: tables at file scope that only grow? kv has a bound and a ttl",
			"world", nr+1, "bytes", bytes, "memory", e.options.Memory, "largest", g.largest(nr))
	}
	if bytes >= alarm || before >= alarm {
		e.alarm()
	}
}

// measure estimates what a world takes, in slices; it ends at the limit.
func (g *generation) measure(ctx context.Context, w *world, limit int64) (int64, error) {
	w.Lock()
	m := w.NewMeasure(w.kept()...)
	w.Unlock()
	for done := false; !done && m.Bytes() < limit; {
		began := time.Now()
		w.Lock()
		taken := time.Now()
		done = m.Step(memorySlice)
		held := time.Since(taken)
		w.Unlock()
		if done {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(memoryRest*held + taken.Sub(began)):
		}
	}
	return m.Bytes(), nil
}

// kept are the functions that the engine keeps for a world.
func (w *world) kept() []lua.LValue {
	var out []lua.LValue
	for _, fn := range w.functions {
		out = append(out, fn)
	}
	return append(out, w.generation.timers.functions(w)...)
}

// rebuild puts a new world of the same files in the place of one.
func (e *Engine) rebuild(ctx context.Context, g *generation, nr int, bytes int64) {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	if g != e.current || ctx.Err() != nil {
		return
	}
	args := []any{"world", nr + 1, "bytes", bytes, "memory", e.options.Memory, "largest", g.largest(nr)}
	began := time.Now()
	if err := e.replaceWorld(ctx, g, nr); err != nil {
		e.options.Log.Error("a world of the rules is too large, and cannot be rebuilt: it goes on as it is", append(args, "err", err)...)
		return
	}
	g.seats[nr].rebuilt.Add(1)
	g.seats[nr].memory.Store(0)
	e.options.Log.Error("a world of the rules was too large and was rebuilt: its local variables begin anew", append(args, "dur", time.Since(began))...)
}

// replaceWorld loads the files into a new world, calls its load handlers and lets
// it take its place.
func (e *Engine) replaceWorld(ctx context.Context, g *generation, nr int) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.timing.load, fmt.Errorf("loading the scripts took longer than %v", e.timing.load))
	defer cancel()
	w, findings := g.loadFiles(ctx, nr)
	if len(findings) > 0 {
		return &LoadError{Findings: findings}
	}
	if err := g.checkSame(w.loading.handlers); err != nil {
		return err
	}
	pending := w.loading.timers
	w.loading = nil
	e.host.Act(func(turn *core.Turn) bool {
		err = errors.New("a load handler panicked") // unless what follows returns
		if err = w.load(turn, nil, func(string) error { return nil }); err != nil {
			return false
		}
		old := g.world(nr)
		w.busy.Store(old.busy.Load())
		err = g.timers.replace(old, pending)
		g.seats[nr].Store(w)
		return true
	})
	if nr == 0 {
		w.takeMetrics()
	}
	return err
}

// largest is a guess at what grew, for who has to find it.
func (g *generation) largest(nr int) string {
	w := g.world(nr)
	w.Lock()
	defer w.Unlock()
	return sandbox.Largest(w.functions)
}

// memoryText is which worlds are near their limit, one a line, for $SYS.
func (g *generation) memoryText() string {
	var lines []string
	limit := g.engine.options.Memory
	for i := range g.seats {
		if n := g.seats[i].memory.Load(); float64(n) >= memoryAlarm*float64(limit) {
			lines = append(lines, fmt.Sprintf("world %d: %.1f of %.1f MiB", i+1, mebibytes(n), mebibytes(limit)))
		}
	}
	return strings.Join(lines, "\n")
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
