package scripting

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

const (
	// busyEvery is the time over which the load of a world is measured.
	busyEvery = 10 * time.Second
	// busyAll is nearly all the time: from here on events queue for the worlds
	// longer than their handlers take (in M/M/1, nine times as long).
	busyAll = 0.9
	// busyRemind is how often it is said in the log.
	busyRemind = 5 * time.Minute
)

// WorldLoad is how busy one world was over the last ten seconds, and how large it
// is.
type WorldLoad struct {
	World   int     `json:"world"`   // from 1
	Busy    float64 `json:"busy"`    // share of the time that handlers held it, 0 to 1
	Memory  int64   `json:"memory"`  // bytes, estimated; 0 where the whole process has less than a world may have
	Rebuilt uint64  `json:"rebuilt"` // how often it grew too large and was rebuilt
	Waiting int     `json:"waiting"` // events that wait for it now
}

// busyness measures the load of the worlds.
type busyness struct {
	// Owned by busyLoop:
	generation *generation
	since      time.Time
	before     []time.Duration
	logged     time.Time // the last time
}

// busyLoop measures until ctx ends.
func (e *Engine) busyLoop(ctx context.Context) {
	t := time.NewTicker(busyEvery)
	defer t.Stop()
	var b busyness
	e.measure(&b, e.options.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			e.measure(&b, e.options.Now())
		}
	}
}

// measure makes the load of the worlds since the last call that of the status,
// and says so in the log when all are busy nearly all the time.
func (e *Engine) measure(b *busyness, now time.Time) {
	e.mu.Lock()
	g := e.inForce
	e.mu.Unlock()
	if g == nil {
		return
	}
	span, again := now.Sub(b.since), g == b.generation
	var loads []WorldLoad
	for i := range g.seats {
		held := time.Duration(g.world(i).busy.Load())
		if again && span > 0 {
			loads = append(loads, WorldLoad{World: i + 1, Busy: min(1, float64(held-b.before[i])/float64(span))})
		}
	}
	b.take(g, now)
	e.mu.Lock()
	e.loads = loads
	e.mu.Unlock()
	if advice := adviceFor(loads); advice != "" && now.Sub(b.logged) >= busyRemind {
		b.logged = now
		e.options.Log.Warn("the rules are busy nearly all the time: events wait for them", "workers", len(loads), "busy", fmt.Sprintf("%.0f%%", 100*leastBusy(loads)), "advice", advice)
	}
}

// take notes where the next measurement begins.
func (b *busyness) take(g *generation, now time.Time) {
	b.generation, b.since, b.before = g, now, b.before[:0]
	for i := range g.seats {
		b.before = append(b.before, time.Duration(g.world(i).busy.Load()))
	}
}

// leastBusy is the load of the least busy world, 0 if none was measured.
func leastBusy(loads []WorldLoad) float64 {
	least := 1.0
	for _, l := range loads {
		least = min(least, l.Busy)
	}
	if len(loads) == 0 {
		return 0
	}
	return least
}

// adviceFor says what to do about worlds of that load; "" when all is well.
func adviceFor(loads []WorldLoad) string {
	switch n := len(loads); {
	case leastBusy(loads) < busyAll:
		return ""
	case n < runtime.GOMAXPROCS(0):
		return fmt.Sprintf("raise [scripting] workers from %d (to %d, or \"auto\"); each world has its own local variables", n, n+1)
	default:
		return fmt.Sprintf("there is a world for each of the %d processors: make the busiest handlers cheaper (lunamq scripts), or narrow their filters", runtime.GOMAXPROCS(0))
	}
}

// Worlds is how busy each world was over the last ten seconds, and what to do
// about it: "" when all is well. Busy is 0 in the first ten seconds of a generation.
func (e *Engine) Worlds() (loads []WorldLoad, advice string) {
	e.mu.Lock()
	loads = slices.Clone(e.loads)
	g := e.inForce
	e.mu.Unlock()
	advice = adviceFor(loads)
	if g == nil {
		return loads, advice
	}
	if len(loads) != len(g.seats) { // the first ten seconds
		loads = make([]WorldLoad, len(g.seats))
	}
	for i := range g.seats {
		s, l := &g.seats[i], &loads[i]
		l.World, l.Memory, l.Rebuilt, l.Waiting = i+1, s.memory.Load(), s.rebuilt.Load(), g.world(i).Awaited()
	}
	return loads, advice
}
