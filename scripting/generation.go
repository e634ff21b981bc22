package scripting

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"lunamq/scripting/sandbox"
)

// loadLimit bounds the loading of a set: all its files in all worlds.
const loadLimit = 30 * time.Second

// generation is one set of files, compiled and loaded: what the broker calls
// from one Register to the next. Nothing closes it: a late event finds it
// whole, and the garbage collector takes it with the last one.
type generation struct {
	// Immutable:
	trial    *trial // that tries the rules; nil where they are in force
	engine   *Engine
	number   int
	set      *fileSet
	chunks   map[string]*sandbox.Chunk // by file name
	handlers []*handler                // by index
	seats    []seat
	hooks    []any
	plans    map[string]any // *plan, by event
	since    time.Time
	by       string // who brought it
	guard    *guard // nil: nobody goes back from it by himself

	timers  timers
	gate    gate
	reports reports
}

// seat is the place of one world: when that has grown too large another takes it
// (memory.go).
type seat struct {
	atomic.Pointer[world]
	memory  atomic.Int64  // bytes, as last measured
	rebuilt atomic.Uint64 // how often
}

// world is the one at place i.
func (g *generation) world(i int) *world { return g.seats[i].Load() }

// build compiles and loads a set aside. The error is a *LoadError with all
// findings: for each file at least its first.
func (e *Engine) build(ctx context.Context, set *fileSet, number int) (*generation, error) {
	g := &generation{engine: e, number: number, set: set, chunks: make(map[string]*sandbox.Chunk), plans: make(map[string]any)}
	g.timers.generation = g
	g.seats = make([]seat, 0, e.options.Workers)
	findings := append([]string(nil), set.findings...)
	findings = append(findings, g.compile()...)
	ctx, cancel := context.WithTimeoutCause(ctx, e.timing.load, fmt.Errorf("loading the scripts took longer than %v", e.timing.load))
	defer cancel()
	for nr := range e.options.Workers {
		w, found := g.loadWorld(ctx, nr)
		if findings = append(findings, found...); len(findings) > 0 {
			return nil, &LoadError{Findings: findings}
		}
		g.seats = append(g.seats, seat{})
		g.seats[nr].Store(w)
	}
	g.plan()
	return g, nil
}

// compile compiles every file, those of lib/ too: one that does not compile is
// found now, not when a handler requires it.
func (g *generation) compile() (findings []string) {
	for _, f := range g.set.files {
		chunk, err := sandbox.Compile(f.name, f.source)
		if err != nil {
			findings = append(findings, g.describe(err))
			continue
		}
		g.chunks[f.name] = chunk
	}
	return findings
}

// loadTries is how often a world is loaded when a file overruns the deadline,
// which may be the machine's fault. A budget of instructions is the file's own.
const loadTries = 3

// loadFiles runs the file scope of the set in a new world, which is still loading.
func (g *generation) loadFiles(ctx context.Context, nr int) (w *world, findings []string) {
	for range loadTries {
		var overran bool
		if w, findings, overran = g.tryWorld(ctx, nr); !overran {
			break
		}
	}
	return w, findings
}

// loadWorld makes a world of the set.
func (g *generation) loadWorld(ctx context.Context, nr int) (w *world, findings []string) {
	w, findings = g.loadFiles(ctx, nr)
	if len(findings) > 0 {
		return nil, findings
	}
	if nr == 0 {
		g.handlers = w.loading.handlers
		for _, t := range w.loading.timers {
			if err := g.timers.add(t.timer, t.after); err != nil {
				return nil, []string{t.handler.by + ": " + err.Error()}
			}
		}
	} else if err := g.checkSame(w.loading.handlers); err != nil {
		return nil, []string{err.Error()}
	}
	w.loading = nil
	return w, nil
}

// tryWorld runs the file scope of each file in a new world.
func (g *generation) tryWorld(ctx context.Context, nr int) (w *world, findings []string, overran bool) {
	w = g.newWorld(nr)
	w.Lock()
	defer w.Unlock()
	for _, name := range g.set.names() {
		if ctx.Err() != nil {
			return w, append(findings, context.Cause(ctx).Error()), false
		}
		if chunk := g.chunks[name]; chunk != nil {
			if err := w.Run(chunk); err != nil {
				findings = append(findings, g.describe(err))
				overran = overran || isDeadline(err)
			}
		}
	}
	w.Seal()
	return w, findings, overran
}

func isDeadline(err error) bool {
	var e *sandbox.Error
	return errors.As(err, &e) && e.Kind == sandbox.Deadline
}

// checkSame refuses files that register other handlers in one world than in
// the next: events go to any of them.
func (g *generation) checkSame(handlers []*handler) error {
	for i, h := range handlers {
		if i >= len(g.handlers) || !h.same(g.handlers[i]) {
			return fmt.Errorf("%s: mqtt.on registers something else in each of the %d worlds: it must not depend on chance, time or kv", h.by, g.engine.options.Workers)
		}
	}
	if len(handlers) < len(g.handlers) {
		return fmt.Errorf("%s: mqtt.on registers something in one world and not in another: it must not depend on chance, time or kv", g.handlers[len(handlers)].by)
	}
	return nil
}

// describe is a finding: "file.lua:7: text".
func (g *generation) describe(err error) string {
	var e *sandbox.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := clipTo(e.Error(), maxMessage)
	if line := g.set.line(e.File, e.Line); line != "" {
		text += "\n    " + line
	}
	return text
}

// plan makes the hooks: one for each event that has handlers, so that an event
// nobody handles is not in the broker's table.
func (g *generation) plan() {
	for _, name := range eventNames {
		var handlers []*handler
		for _, h := range g.handlers {
			if h.info.name == name {
				handlers = append(handlers, h)
			}
		}
		if len(handlers) == 0 {
			continue
		}
		if hook := events[name].plan(g, handlers); hook != nil {
			g.hooks = append(g.hooks, hook)
		}
	}
}

// counts is the number of handlers of each event.
func (g *generation) counts() map[string]int {
	out := make(map[string]int)
	for _, h := range g.handlers {
		out[h.info.name]++
	}
	return out
}
