package scripting

import (
	"strings"
	"time"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// HandlerCounts is what became of the events that one handler was asked about,
// since its generation took over.
type HandlerCounts struct {
	By       string            `json:"by"` // file.lua:line
	Event    string            `json:"event"`
	Filter   string            `json:"filter,omitempty"`
	Calls    uint64            `json:"calls"`
	Verdicts map[string]uint64 `json:"verdicts"` // "pass", "allow", "deny", "drop", "disconnect"; without the failed calls
	Errors   uint64            `json:"errors"`   // failed calls, overruns included
	Overruns uint64            `json:"overruns"` // of the budget or the deadline
	Skipped  uint64            `json:"skipped"`  // events that fell to on_error without a call: the handler was paused, or its turn did not come
	Pauses   uint64            `json:"pauses"`   // how often it was paused for overruns
	Paused   *Paused           `json:"paused,omitempty"`
	Times    Times             `json:"times"`
}

// File is the script that registered the handler.
func (c *HandlerCounts) File() string {
	file, _, _ := strings.Cut(c.By, ":")
	return file
}

func (h *handler) snapshot(now time.Time) HandlerCounts {
	out := HandlerCounts{
		By: h.by, Event: h.info.name, Filter: h.filter, Verdicts: make(map[string]uint64, len(h.verdicts)),
		Errors: h.errors.Load(), Overruns: h.overruns.Load(), Skipped: h.skipped.Load(), Times: h.times.snapshot(),
	}
	out.Paused, out.Pauses = h.pauses.state(now)
	out.Calls = out.Errors
	for v := range h.verdicts {
		n := h.verdicts[v].Load()
		out.Verdicts[core.Verdict(v).String()] = n
		out.Calls += n
	}
	return out
}

// ScriptCounts are the counts of all handlers of one script.
type ScriptCounts struct {
	File     string            `json:"file"`
	Handlers int               `json:"handlers"`
	Calls    uint64            `json:"calls"`
	Verdicts map[string]uint64 `json:"verdicts"`
	Errors   uint64            `json:"errors"`
	Overruns uint64            `json:"overruns"`
	Skipped  uint64            `json:"skipped"`
	Times    Times             `json:"times"`
}

// ScriptCounts adds up HandlerCounts by script, in the order in which the
// scripts were loaded; those without a handler are in it, too.
func (e *Engine) ScriptCounts() []ScriptCounts {
	var out []ScriptCounts
	at := make(map[string]int)
	for _, file := range e.Status().Files {
		at[file] = len(out)
		out = append(out, ScriptCounts{File: file, Verdicts: make(map[string]uint64), Times: Times{Buckets: make([]uint64, timeBuckets)}})
	}
	for _, h := range e.HandlerCounts() {
		// Another file's: a module's, or a generation that has taken over since.
		if i, ok := at[h.File()]; ok {
			out[i].add(&h)
		}
	}
	return out
}

func (s *ScriptCounts) add(h *HandlerCounts) {
	s.Handlers++
	s.Calls += h.Calls
	s.Errors += h.Errors
	s.Overruns += h.Overruns
	s.Skipped += h.Skipped
	for v, n := range h.Verdicts {
		s.Verdicts[v] += n
	}
	s.Times.Count += h.Times.Count
	s.Times.Sum += h.Times.Sum
	for i, n := range h.Times.Buckets {
		s.Times.Buckets[i] += n
	}
}

// isOverrun says that a call ended because it used up its budget or its
// deadline.
func isOverrun(err *sandbox.Error) bool {
	return err != nil && (err.Kind == sandbox.Budget || err.Kind == sandbox.Deadline)
}
