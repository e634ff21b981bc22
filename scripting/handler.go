package scripting

import (
	"sync/atomic"

	"lunamq/core"
)

// handler is one mqtt.on of a generation.
type handler struct {
	// Immutable:
	info   *eventInfo
	filter string // "" runs always
	index  int    // of its function in each world
	pass   bool   // on_error
	budget int64  // instructions, 0 the default
	by     string // "file.lua:line" of the registration
	keeps  bool   // its function may keep the event's object beyond the call

	broken bool // unload only: it failed at a handover; guarded by Engine.loadMu

	// Atomic:
	verdicts [core.Disconnect + 1]atomic.Uint64
	errors   atomic.Uint64
	overruns atomic.Uint64
	skipped  atomic.Uint64 // events that it was not asked about: it was paused, or its world's queue full
	times    times
	pauses   pauses
}

// same says whether another world registered the same.
func (h *handler) same(o *handler) bool {
	return h.info == o.info && h.filter == o.filter && h.pass == o.pass && h.budget == o.budget && h.by == o.by
}

// title is the handler in logs: "publish handler (legacy/+/f)".
func (h *handler) title() string {
	if h.filter == "" {
		return h.info.name + " handler"
	}
	return h.info.name + " handler (" + h.filter + ")"
}
