package scripting

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// gate counts the events that are inside a generation, and holds up new ones
// while the generation hands over to the next.
type gate struct {
	inside  atomic.Int64
	closing atomic.Pointer[handover] // nil while events may enter
}

// enter lets an event in, which is then to leave; or returns the handover that
// it has to wait for.
func (g *gate) enter() *handover {
	g.inside.Add(1)
	h := g.closing.Load()
	if h != nil {
		g.leave()
	}
	return h
}

func (g *gate) leave() {
	if g.inside.Add(-1) == 0 {
		if h := g.closing.Load(); h != nil {
			h.emptied()
		}
	}
}

// handover is a change of generations for which events wait. It is over when
// the next one has taken over, or when its time is: whichever is first.
type handover struct {
	limit time.Duration
	empty chan struct{} // the old generation has no event inside; holds one
	done  chan struct{} // closed when it is over
	late  *time.Timer

	mu sync.Mutex

	// Guarded by mu until done is closed:
	over bool
	next *generation // nil if it has failed
	old  *gate
}

// errOverrun is matched by the error of a handover that took too long.
var errOverrun = errors.New("the handover took too long")

// handOver closes the gate. From now on it is either committed or failed.
func (g *gate) handOver(limit time.Duration) *handover {
	h := &handover{limit: limit, empty: make(chan struct{}, 1), done: make(chan struct{}), old: g}
	h.mu.Lock() // fail, which may come at once, has to find the gate closed
	defer h.mu.Unlock()
	h.late = time.AfterFunc(limit, h.fail)
	g.closing.Store(h)
	if g.inside.Load() == 0 {
		h.emptied()
	}
	return h
}

func (h *handover) emptied() {
	select {
	case h.empty <- struct{}{}:
	default:
	}
}

// wait is called by an event that was held up: it returns the generation to go
// on in.
func (h *handover) wait(old *generation) *generation {
	<-h.done
	if h.next != nil {
		return h.next
	}
	return old
}

// drain waits until the events inside have left.
func (h *handover) drain() error {
	for {
		select {
		case <-h.done:
			return h.overrun("events under way")
		case <-h.empty:
			if h.old.inside.Load() == 0 { // else one was on its way out again
				return nil
			}
		}
	}
}

// check says whether there is still time.
func (h *handover) check(what string) error {
	select {
	case <-h.done:
		return h.overrun(what)
	default:
		return nil
	}
}

func (h *handover) overrun(what string) error {
	return fmt.Errorf("%w: more than %v, in %s; the old rules go on", errOverrun, h.limit, what)
}

// commit makes next take over by what register does, unless it is too late.
func (h *handover) commit(next *generation, register func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return h.overrun("load")
	}
	if err := register(); err != nil {
		return err
	}
	h.over, h.next = true, next
	h.late.Stop()
	close(h.done) // late events of the old generation are the next one's: its gate stays closed
	return nil
}

// fail lets events into the old generation again.
func (h *handover) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.over = true
	h.late.Stop()
	h.old.closing.Store(nil)
	close(h.done)
}
