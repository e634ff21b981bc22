package scripting

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"lunamq/scripting/sandbox"
)

const (
	// reportEvery is how often one place of a script is logged at most: a rule
	// that fails for each message must not fill the disk.
	reportEvery = 10 * time.Second
	// maxPlaces bounds the places that are told apart.
	maxPlaces = 1000
	// maxMessage and maxTraceback bound what one error brings into a log, in
	// bytes: a rule may raise a string of megabytes.
	maxMessage   = 1024
	maxTraceback = 4096
)

// reports limits the log by place.
type reports struct {
	mu sync.Mutex

	// Guarded by mu:
	places map[string]*reported
}

type reported struct {
	last  time.Time
	quiet int // reports since that were not logged
}

// allow says whether a report of that place is logged now, and how many were
// not since the last one.
func (r *reports) allow(place string, now time.Time) (quiet int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[place]
	if p != nil && now.Sub(p.last) < reportEvery {
		p.quiet++
		return 0, false
	}
	if p == nil {
		if r.places == nil || len(r.places) >= maxPlaces {
			r.places = make(map[string]*reported)
		}
		p = new(reported)
		r.places[place] = p
	}
	quiet, p.last, p.quiet = p.quiet, now, 0
	return quiet, true
}

// report logs a failed handler: what an operator needs to find the line.
func (g *generation) report(c *call, by string, err error) {
	if g.trial != nil {
		g.trial.failed(g.failure(c.handler, by, err))
		return
	}
	args := []any{"event", c.handler.info.name, "handler", c.handler.by}
	if c.handler.filter != "" {
		args = append(args, "filter", c.handler.filter)
	}
	if id := c.client().ID; id != "" {
		args = append(args, "client", id)
	}
	var script *sandbox.Error
	if errors.As(err, &script) {
		if line := g.set.line(script.File, script.Line); line != "" {
			args = append(args, "source", line)
		}
		args = append(args, "traceback", clipTo(script.Traceback, maxTraceback))
	}
	g.complain(by, "a rule failed in its "+c.handler.title(), append(args, "err", g.failure(c.handler, by, err).headline())...)
}

// complain logs what is wrong at a place of a script, limited.
func (g *generation) complain(by, what string, args ...any) {
	quiet, ok := g.reports.allow(by, g.engine.options.Now())
	if !ok {
		return
	}
	args = append([]any{"by", by}, args...)
	if quiet > 0 {
		args = append(args, slog.Int("not_logged", quiet))
	}
	g.engine.options.Log.Error(what, args...)
}
