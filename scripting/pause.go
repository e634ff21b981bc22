package scripting

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lunamq/core"
)

// A handler that overruns its budget or deadline again and again is paused: it
// is not called, and its events fall to on_error. With on_error = "deny", the
// default, a guard that is paused refuses: nobody can shut it off by making it
// overrun.
//
// Nor can one client shut it for the others: what it provokes pauses the handler
// for its own events. For all it is paused when the overruns come from several.
const (
	pauseSpan     = 10 * time.Second // in which the overruns come
	pauseOverruns = 10               // of one handler, for pauseClients clients at least
	pauseClients  = 3
	pauseOne      = 5 // of one client: for its events alone
	// pauseFirst is how long the first pause is. Each that follows within
	// pauseLongest of the end of the last is twice as long, up to pauseLongest.
	pauseFirst   = 10 * time.Second
	pauseLongest = 5 * time.Minute
	// maxPaused bounds the clients that are remembered for one handler.
	maxPaused = 1000
)

// pauses are those of one handler.
type pauses struct {
	some atomic.Bool // somebody may be paused: look

	mu sync.Mutex

	// Guarded by mu:
	all     pause
	payers  map[uint64]*pause // by payerOf; those that overran of late
	counted uint64            // pauses so far
}

// pause is what is known of one account of a handler, or of all.
type pause struct {
	overran []overrun // the last ones
	until   time.Time
	length  time.Duration
}

type overrun struct {
	at    time.Time
	payer uint64
}

// hit notes an overrun, and says whether the last n came within pauseSpan.
func (p *pause) hit(o overrun, n int) bool {
	if len(p.overran) == n {
		p.overran = slices.Delete(p.overran, 0, 1)
	}
	p.overran = append(p.overran, o)
	return len(p.overran) == n && o.at.Sub(p.overran[0].at) <= pauseSpan
}

// begin begins a pause.
func (p *pause) begin(now time.Time) {
	p.length = min(2*p.length, pauseLongest)
	if p.length == 0 || now.Sub(p.until) > pauseLongest {
		p.length = pauseFirst
	}
	p.until, p.overran = now.Add(p.length), nil
}

// isStale says that nothing of it counts any more.
func (p *pause) isStale(now time.Time) bool {
	last := p.until
	if n := len(p.overran); n > 0 && p.overran[n-1].at.After(last) {
		last = p.overran[n-1].at
	}
	return now.Sub(last) > pauseLongest
}

// clients is how many clients the overruns came from.
func (p *pause) clients() int {
	seen := make(map[uint64]bool, len(p.overran))
	for _, o := range p.overran {
		seen[o.payer] = true
	}
	return len(seen)
}

// scope is for whom a handler is paused by an overrun.
type scope uint8

const (
	pausedNobody scope = iota
	pausedClient
	pausedAll
)

// strike notes an overrun of a client, and says for whom the handler is paused
// now and for how long.
func (p *pauses) strike(now time.Time, payer uint64) (scope, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := overrun{now, payer}
	if p.all.hit(o, pauseOverruns) && p.all.clients() >= pauseClients {
		return pausedAll, p.beginLocked(&p.all, now)
	}
	if own := p.ofLocked(payer, now); own != nil && own.hit(o, pauseOne) {
		return pausedClient, p.beginLocked(own, now)
	}
	return pausedNobody, 0
}

func (p *pauses) beginLocked(one *pause, now time.Time) time.Duration {
	one.begin(now)
	p.counted++
	p.some.Store(true)
	return one.length
}

// ofLocked is what is remembered of a payer; nil where there are too many.
func (p *pauses) ofLocked(payer uint64, now time.Time) *pause {
	if own := p.payers[payer]; own != nil {
		return own
	}
	if p.payers == nil {
		p.payers = make(map[uint64]*pause)
	}
	if len(p.payers) >= maxPaused {
		for k, v := range p.payers {
			if v.isStale(now) || len(v.overran) > 0 && now.After(v.until) && now.Sub(v.overran[0].at) > pauseSpan {
				delete(p.payers, k)
			}
		}
		if len(p.payers) >= maxPaused {
			return nil
		}
	}
	own := new(pause)
	p.payers[payer] = own
	return own
}

// cover says whether the handler is paused for a client.
func (p *pauses) cover(now time.Time, client *core.Client) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.all.until) {
		return true
	}
	own := p.payers[payerOf(client)]
	return own != nil && now.Before(own.until)
}

// Paused is for whom a handler is paused.
type Paused struct {
	Until   *time.Time `json:"until,omitempty"`   // for all
	Clients int        `json:"clients,omitempty"` // for so many clients alone
}

// state is who is paused now, and how many pauses there were. It ends the
// looking where nobody is.
func (p *pauses) state(now time.Time) (*Paused, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out Paused
	if now.Before(p.all.until) {
		until := p.all.until
		out.Until = &until
	}
	for _, own := range p.payers {
		if now.Before(own.until) {
			out.Clients++
		}
	}
	if out == (Paused{}) {
		p.some.Store(false)
		return nil, p.counted
	}
	return &out, p.counted
}

// isPaused says whether a handler is paused for a client. To be asked where some
// are.
func (g *generation) isPaused(h *handler, client *core.Client) bool {
	return h.pauses.cover(g.now(), client)
}

func (g *generation) now() time.Time { return g.engine.options.Now() }

// strike counts an overrun of a call, and pauses its handler when it is one of
// many. Load and unload are never paused: their failing has its own end.
func (g *generation) strike(c *call, by string) {
	h := c.handler
	h.overruns.Add(1)
	if g.trial != nil || h.info == loadKind.info() || h.info == unloadKind.info() {
		return
	}
	whom, length := h.pauses.strike(g.now(), payerOf(c.client()))
	if whom == pausedNobody {
		return
	}
	args := []any{"by", by, "handler", h.by, "event", h.info.name, "dur", length, "comes_to", h.fate()}
	if h.filter != "" {
		args = append(args, "filter", h.filter)
	}
	text := "a handler that overran again and again is paused"
	if id := c.client().ID; whom == pausedClient && id != "" {
		text += " for the client that made it overrun"
		args = append(args, "client", id)
	}
	g.engine.options.Log.Error(text, args...)
	g.engine.alarm()
}

// fate is what becomes of events that the handler has no say on.
func (h *handler) fate() string {
	if h.info.goesOn || h.pass {
		return "pass"
	}
	return "deny"
}

// pausesText is who is paused, one handler a line, for $SYS.
func (g *generation) pausesText() string {
	var b strings.Builder
	for _, h := range g.handlers {
		if !h.pauses.some.Load() {
			continue
		}
		if p, _ := h.pauses.state(g.now()); p != nil {
			b.WriteString(h.by + ": " + h.title() + ": " + p.String() + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// String is "until 12:30:00 UTC" or "for 2 clients".
func (p *Paused) String() string {
	if p.Until != nil {
		return "paused until " + p.Until.UTC().Format("15:04:05 UTC")
	}
	if p.Clients == 1 {
		return "paused for 1 client"
	}
	return "paused for " + strconv.Itoa(p.Clients) + " clients"
}
