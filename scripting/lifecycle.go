package scripting

import (
	"errors"
	"fmt"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// The generation takes over, or gives up. unload returns plain values, which
// load of the same file gets in the same world of the next generation. Both are
// told: load refuses its set by failing, whatever on_error says.
var (
	loadKind   = &ownKind{eventInfo{name: "load", told: true, goesOn: true}}
	unloadKind = &ownKind{eventInfo{name: "unload", told: true, goesOn: true}}
)

// states is what the unload handlers of one world returned, by file.
type states map[string]lua.LValue

// file is the script that registered a handler.
func (h *handler) file() string {
	name, _, _ := strings.Cut(h.by, ":")
	return name
}

// checkUnload refuses a second unload handler of one file: load gets one value.
func (l *loading) checkUnload(h *handler) error {
	if h.info != unloadKind.info() {
		return nil
	}
	for _, o := range l.handlers {
		if o.info == h.info && o.file() == h.file() {
			return fmt.Errorf("a file has one unload handler, and this one has one at %s", o.by)
		}
	}
	return nil
}

// lifecycle are the handlers of load or unload, in order.
func (g *generation) lifecycle(k *ownKind) (list []*handler) {
	for _, h := range g.handlers {
		if h.info == k.info() {
			list = append(list, h)
		}
	}
	return list
}

// install makes a generation that was built aside the one that runs. On an error
// the old one goes on as it was.
func (e *Engine) install(g *generation) error {
	old := e.current
	quiet := old == nil || old.timers.pause(e.options.Handover)
	var err error
	switch {
	case old == nil:
		err = e.takeOver(g, nil)
	case len(old.lifecycle(unloadKind))+len(g.lifecycle(loadKind)) == 0:
		err = e.host.Register(owner, g.hooks...)
	case !quiet:
		err = fmt.Errorf("%w: a timer's function runs for more than %v; the old rules go on", errOverrun, e.options.Handover)
	default:
		err = e.takeOver(g, old)
	}
	if err != nil {
		g.timers.end()
		if old != nil {
			old.timers.start()
		}
		return err
	}
	if old != nil {
		old.timers.end()
	}
	g.world(0).takeMetrics()
	g.timers.start()
	return nil
}

// takeOver runs unload in the old generation, if there is one, and load in the
// new one, and registers that. What load queues happens then.
func (e *Engine) takeOver(g, old *generation) (err error) {
	e.host.Act(func(turn *core.Turn) bool {
		err = errors.New("the handover panicked") // unless what follows returns
		if old == nil {
			err = e.first(g, turn)
		} else {
			err = e.handOver(g, old, turn)
		}
		return err == nil
	})
	return err
}

func (e *Engine) first(g *generation, turn *core.Turn) error {
	for i := range g.seats {
		if err := g.world(i).load(turn, nil, func(string) error { return nil }); err != nil {
			return err
		}
	}
	return e.host.Register(owner, g.hooks...)
}

// handOver lets the events of the old generation end and holds up new ones,
// which then find the new generation; on an error or overrun the old one.
func (e *Engine) handOver(g, old *generation, turn *core.Turn) error {
	began := time.Now()
	h := old.gate.handOver(e.options.Handover)
	defer h.fail()
	if err := h.drain(); err != nil {
		return err
	}
	kept := make([]states, len(old.seats))
	for i := range old.seats {
		var err error
		if kept[i], err = old.world(i).unload(turn, h.check); err != nil {
			return err
		}
	}
	for i := range g.seats {
		if err := g.world(i).load(turn, kept[i], h.check); err != nil {
			return err
		}
	}
	if err := h.commit(g, func() error { return e.host.Register(owner, g.hooks...) }); err != nil {
		return err
	}
	e.options.Log.Info("scripts handed over", "generation", g.number, "dur", time.Since(began))
	return nil
}

// load calls the load handlers of one world. What has been logged as a failed
// rule is a finding of the set as well.
func (w *world) load(turn *core.Turn, kept states, check func(what string) error) error {
	g := w.generation
	for _, h := range g.lifecycle(loadKind) {
		arg := kept[h.file()]
		if arg == nil {
			arg = lua.LNil
		}
		err := w.invoke(invocation{handler: h, fn: w.functions[h.index], turn: turn, args: []lua.LValue{arg}, result: wantNothing})
		if err != nil {
			return &LoadError{Findings: []string{g.finding(h, err)}}
		}
		if err := check("load of " + h.by); err != nil {
			return err
		}
	}
	return nil
}

func wantNothing(x lua.LValue) error {
	if x == lua.LNil {
		return nil
	}
	return fmt.Errorf("load returned %s: it returns nothing, and refuses its set by error(…)", describe(x))
}

// unload calls the unload handlers of one world. One that fails, or takes too
// long, is passed over the next time: else its set could never be replaced.
func (w *world) unload(turn *core.Turn, check func(what string) error) (states, error) {
	g, kept := w.generation, make(states)
	for _, h := range g.lifecycle(unloadKind) {
		if h.broken {
			g.engine.options.Log.Warn("an unload handler that failed before is passed over", "by", h.by)
			continue
		}
		err := w.invoke(invocation{handler: h, fn: w.functions[h.index], turn: turn, result: func(x lua.LValue) (err error) {
			kept[h.file()], err = plain(x)
			return err
		}})
		if err != nil {
			h.broken = true
			return nil, &LoadError{Findings: []string{g.finding(h, err) + "\n    (unload of the rules that run; the next reload goes on without it)"}}
		}
		if err := check("unload of " + h.by); err != nil {
			h.broken = true
			return nil, err
		}
	}
	return kept, nil
}

// finding is what is wrong with a lifecycle handler, as "file.lua:7: text".
func (g *generation) finding(h *handler, err error) string {
	var r *returned
	if errors.As(err, &r) {
		return h.by + ": " + err.Error()
	}
	return g.describe(err)
}
