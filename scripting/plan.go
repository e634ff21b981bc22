package scripting

import (
	"errors"
	"slices"
	"strconv"
	"sync"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
	"lunamq/scripting/sandbox"
)

// plan is how the handlers of one event are asked. Immutable.
type plan[T any] struct {
	generation *generation
	event      *event[T]
	handlers   []*handler               // in order
	always     []int                    // those without a filter, in order
	filters    *topic.Filters[int, int] // the others; nil if there are none
}

// matches is a list of handlers, by their place in the plan, in order.
type matches struct{ list []int }

var matchesPool = sync.Pool{New: func() any { return new(matches) }}

// find fills m with the handlers whose filter matches.
func (p *plan[T]) find(m *matches, subject string) {
	if p.event.match == matchOverlap {
		m.list = p.filters.Overlapping(subject, m.list[:0])
	} else {
		m.list = p.filters.Match(subject, m.list[:0])
	}
	slices.Sort(m.list)
}

// about is the event whose plan it is.
func (p *plan[T]) about() *event[T] { return p.event }

// next is the first handler from place i on that runs, or -1.
func (p *plan[T]) next(m *matches, i int) int {
	best := -1
	if at, _ := slices.BinarySearch(p.always, i); at < len(p.always) {
		best = p.always[at]
	}
	if m == nil {
		return best
	}
	if at, _ := slices.BinarySearch(m.list, i); at < len(m.list) && (best < 0 || m.list[at] < best) {
		best = m.list[at]
	}
	return best
}

// wants says whether any handler would run for a subject.
func (p *plan[T]) wants(subject string) bool {
	if len(p.always) > 0 {
		return true
	}
	m := matchesPool.Get().(*matches)
	p.find(m, subject)
	found := len(m.list) > 0
	matchesPool.Put(m)
	return found
}

// ask asks the handlers in order until one refuses. Each is matched at its turn
// against what the event is then: after a rewrite the later ones are found
// anew, and the earlier ones do not run again.
func (p *plan[T]) ask(turn *core.Turn, ev *T) (d core.Decision) {
	var m *matches
	var subject string
	if p.filters != nil {
		subject = p.event.subject(ev)
		m = matchesPool.Get().(*matches)
		defer matchesPool.Put(m)
		p.find(m, subject)
	}
	i := p.next(m, 0)
	if i < 0 {
		return d
	}
	if h := p.generation.gate.enter(); h != nil {
		turn.BeforeWait()
		return p.askIn(h.wait(p.generation), turn, ev)
	}
	defer p.generation.gate.leave()
	var w *world
	for ; i >= 0; i = p.next(m, i+1) {
		h := p.handlers[i]
		var got core.Decision
		got, w = p.askOne(w, h, turn, ev)
		if got.Verdict >= core.Deny {
			return got
		}
		if got.Verdict == core.Allow && p.counts(h, subject) {
			d = got
		}
		if m != nil {
			if now := p.event.subject(ev); now != subject {
				subject = now
				p.find(m, subject)
			}
		}
	}
	return d
}

// askOne asks one handler, in the world of the last one if there was one.
func (p *plan[T]) askOne(w *world, h *handler, turn *core.Turn, ev *T) (core.Decision, *world) {
	if h.pauses.some.Load() && p.generation.isPaused(h, p.event.client(ev)) {
		return p.skip(h, ev), w
	}
	w, err := p.generation.enter(w, turn, p.event, ev)
	if err != nil {
		p.generation.reportSkipped(h, p.event.client(ev), err)
		return p.skip(h, ev), nil
	}
	var s *step
	if p.generation.trial != nil {
		s = p.generation.trial.step(w, h, p.event, turn, ev)
	}
	d := p.run(w, h, turn, ev)
	if s != nil {
		s.end(d)
	}
	return d, w
}

// askIn asks the handlers of another generation: of the one that has taken over
// while the event waited, or of the same once more.
func (p *plan[T]) askIn(g *generation, turn *core.Turn, ev *T) core.Decision {
	if now, ok := g.plans[p.event.name].(*plan[T]); ok {
		return now.ask(turn, ev)
	}
	return core.Decision{}
}

// counts says whether a handler's allow counts for the requested filter: only
// where its own covers it.
func (p *plan[T]) counts(h *handler, requested string) bool {
	return p.event.match != matchOverlap || h.filter == "" || topic.Covers(h.filter, requested)
}

// run calls one handler. The world is locked, and unlocked when it returns.
func (p *plan[T]) run(w *world, h *handler, turn *core.Turn, ev *T) core.Decision {
	c := w.begin(h, p.event, turn, ev)
	defer w.leave(c)
	if h.keeps {
		c.args[0] = object(c, p.event.kind, ev)
	} else {
		c.args[0] = lent(c, p.event.kind, ev)
	}
	watch := w.startWatch(h)
	results, err := w.Call(w.functions[h.index], sandbox.CallOptions{Budget: h.budget, Ctx: c}, 2, c.args[:]...)
	w.stopWatch(h, watch)
	if err != nil {
		return p.fail(c, err)
	}
	d, err := h.info.judge(results, c)
	if err != nil {
		return p.fail(c, &returned{err, d.By})
	}
	if d.Verdict != core.Pass && d.By == "" {
		d.By = h.by
	}
	h.verdicts[d.Verdict].Add(1)
	return d
}

// returned is the error of a handler that returned nonsense; at is where the
// verdict was made, if it was one.
type returned struct {
	error
	at string
}

// fail is what a failed handler comes to: its changes and effects are taken
// back, it is counted and logged, and on_error decides.
func (p *plan[T]) fail(c *call, err error) core.Decision {
	h, client, by := c.handler, c.client(), c.fail(err)
	p.generation.noteFailure(c)
	return h.onError(client, by)
}

// skip is what an event comes to that is not put to a handler.
func (p *plan[T]) skip(h *handler, ev *T) core.Decision {
	h.skipped.Add(1)
	client := p.event.client(ev)
	if client == nil {
		client = nobody
	}
	return h.onError(client, h.by)
}

// onError is what an event comes to on which the handler has no say.
func (h *handler) onError(client *core.Client, by string) core.Decision {
	if h.info.goesOn || h.pass || h.info.cannotRefuse(client) {
		return core.Decision{}
	}
	return core.Decision{Verdict: core.Deny, Reason: packet.UnspecifiedError, By: by}
}

// culprit is the line of a script that an error comes from.
func (h *handler) culprit(err error) string {
	var script *sandbox.Error
	var nonsense *returned
	switch {
	case errors.As(err, &script) && script.File != "":
		return script.File + ":" + strconv.Itoa(script.Line)
	case errors.As(err, &nonsense) && nonsense.at != "":
		return nonsense.at
	}
	return h.by
}
