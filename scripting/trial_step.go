package scripting

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// Step is what one handler did with an event that was tried.
type Step struct {
	By      string   `json:"by"` // "20-celsius.lua:7"
	Event   string   `json:"event"`
	Filter  string   `json:"filter,omitempty"`
	Changes []Change `json:"changes,omitempty"`
	Verdict string   `json:"verdict"`
	Reason  string   `json:"reason,omitempty"`
	Text    string   `json:"text,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// Change is a field of an event before and after a handler, as a rule would
// write the values.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// maxShown bounds a value in a Change, in bytes.
const maxShown = 400

// looking is the budget for reading an event: its fields are bounded anyway.
const looking = maxBudget

// step is a Step under way. Its world is locked when it begins.
type step struct {
	Step
	w      *world
	h      *handler
	kind   shownEvent
	turn   *core.Turn
	ev     any
	before map[string]string
}

// step begins to watch a handler; nil if nobody wants to know.
func (t *trial) step(w *world, h *handler, kind shownEvent, turn *core.Turn, ev any) *step {
	if !t.tracing || t.outcome == nil {
		return nil
	}
	s := &step{
		Step: Step{By: h.by, Event: h.info.name, Filter: h.filter},
		w:    w, h: h, kind: kind, turn: turn, ev: ev,
	}
	s.before = s.look()
	t.outcome.steps = append(t.outcome.steps, s)
	return s
}

// end notes what the handler did and decided. The world is not locked.
func (s *step) end(d core.Decision) {
	s.Verdict, s.Text = d.Verdict.String(), d.Text
	if d.Verdict == core.Deny || d.Verdict == core.Disconnect {
		s.Reason = reasonOf(d).String()
	}
	s.w.Lock()
	after := s.look()
	s.w.Unlock()
	s.Changes = changes(s.before, after)
}

// look reads all fields of the event, in a call of the handler's world.
func (s *step) look() map[string]string {
	out := make(map[string]string)
	c := s.w.begin(s.h, s.kind, s.turn, s.ev)
	defer s.w.end(c)
	read := newFunction(func(L *lua.LState) int {
		c.state = L
		for _, name := range s.kind.fieldNames() {
			if name == "level" {
				continue // the topic again
			}
			if x, ok := s.kind.read(c, s.ev, name); ok {
				flatten(out, name, view(c, x))
			}
		}
		return 0
	})
	if _, err := s.w.Call(read, sandbox.CallOptions{Budget: looking, Ctx: c}, 0); err != nil {
		out["(unreadable)"] = err.Error()
	}
	return out
}

// flatten gives each part of a table of names its own entry: limits.queued.
func flatten(out map[string]string, name string, x lua.LValue) {
	t, ok := x.(*lua.LTable)
	if !ok || listLen(t) > 0 {
		out[name] = literal(x)
		return
	}
	t.ForEach(func(k, v lua.LValue) { flatten(out, name+"."+k.String(), v) })
}

// changes are the fields that differ, by name. A nil and no entry are the same.
func changes(before, after map[string]string) (out []Change) {
	value := func(m map[string]string, name string) string {
		if s, ok := m[name]; ok {
			return clipTo(s, maxShown)
		}
		return "nil"
	}
	for name := range before {
		if before[name] != after[name] {
			out = append(out, Change{name, value(before, name), value(after, name)})
		}
	}
	for name, x := range after {
		if _, ok := before[name]; !ok && x != "nil" {
			out = append(out, Change{name, "nil", value(after, name)})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
	return out
}
