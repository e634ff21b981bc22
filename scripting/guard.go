package scripting

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lunamq/core/packet"
)

// A new generation is gone back from by itself only when so many calls failed,
// for so many clients: one device that sends nonsense is not a bad rule, and few
// calls make no rate.
const (
	spikeErrors  = 10
	spikeClients = 3
)

// guard watches the errors of a new generation for a while. (SCRIPT-API.md,
// "Reload", 7)
type guard struct {
	// Immutable:
	before float64 // error rate of the generation that was replaced
	old    int     // its number
	until  time.Time

	mu sync.Mutex

	// Guarded by mu:
	errors  int
	clients map[string]struct{} // for whom calls failed, spikeClients at most
	next    int                 // errors at which the rate is looked at again
}

// newGuard is the guard of a generation that is about to take over; nil where
// there is nothing to go back to, or nobody wants it.
func (e *Engine) newGuard(o arrival) *guard {
	if e.options.RollbackErrors == 0 || e.current == nil || o.meant {
		return nil
	}
	return &guard{
		before: e.current.errorRate(), old: e.current.number, until: e.options.Now().Add(e.options.RollbackWindow),
		clients: make(map[string]struct{}, spikeClients), next: spikeErrors,
	}
}

// errorRate is the share of calls that failed.
func (g *generation) errorRate() float64 {
	var calls, errors uint64
	for _, h := range g.handlers {
		failed := h.errors.Load()
		errors, calls = errors+failed, calls+failed
		for v := range h.verdicts {
			calls += h.verdicts[v].Load()
		}
	}
	if calls == 0 {
		return 0
	}
	return float64(errors) / float64(calls)
}

// noteFailure counts a failed call, and wakes guardLoop when there are enough.
func (g *generation) noteFailure(c *call) {
	if g.guard == nil || !g.guard.count(c) {
		return
	}
	select {
	case g.engine.spikes <- g:
	default: // it is awake
	}
}

// count says whether the error rate is to be looked at: that costs a walk
// through all handlers, so it is when there are a tenth more errors.
func (w *guard) count(c *call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors++
	if cl := c.client(); cl.Protocol != packet.Version(0) && len(w.clients) < spikeClients {
		id := cl.ID
		if id == "" {
			id = cl.Remote
		}
		w.clients[id] = struct{}{}
	}
	if w.errors < w.next || len(w.clients) < spikeClients {
		return false
	}
	w.next = w.errors + w.errors/10 + 1
	return true
}

// guardLoop goes back from generations that fail.
func (e *Engine) guardLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case g := <-e.spikes:
			e.checkSpike(ctx, g)
		}
	}
}

// checkSpike goes back from g if its error rate passes the old one's by more
// than is allowed. It does so once: the generation gone back to has no guard, and
// the bar keeps the files out.
func (e *Engine) checkSpike(ctx context.Context, g *generation) {
	e.loadMu.Lock()
	defer e.loadMu.Unlock()
	w, rate := g.guard, g.errorRate()
	if g != e.current || e.options.Now().After(w.until) || rate <= w.before+e.options.RollbackErrors {
		return
	}
	reason := fmt.Sprintf("itself: %.1f%% of the calls failed, %.1f%% in generation %d", 100*rate, 100*w.before, w.old)
	k := e.history.find(w.old)
	if k == nil {
		e.options.Log.Error("the new rules fail, and the ones before are not kept: nothing to go back to", "generation", g.number, "err", reason)
		return
	}
	if err := e.goBack(ctx, *k, reason); err != nil {
		e.options.Log.Error("the new rules fail, and the ones before cannot be loaded", "generation", g.number, "err", err)
		return
	}
	e.options.Log.Error("the new rules failed: rolled back by itself", "from", g.number, "to", k.number, "rate", rate, "before", w.before)
}
