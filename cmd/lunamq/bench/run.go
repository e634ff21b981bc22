package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// run is one scenario under way.
type run struct {
	// Immutable:
	o        Options
	scenario *Scenario
	id       uint32
	dialer   *dialer
	before   probe // before the first client
	ctx      context.Context
	cancel   context.CancelCauseFunc // ends everything; the first cause is the run's error

	// Owned by the goroutine of Run:
	result      *Result
	publishers  []*publisher
	subscribers []*subscriber
	filters     int // of the scenario filters
	filtersEach int // of one subscriber

	from   atomic.Int64 // messages sent before do not count
	ending atomic.Bool  // that connections end is right
	loops  sync.WaitGroup

	mu sync.Mutex

	// Guarded by mu:
	clients []*client
	phaseOf string // for progress
	counter func() int64
	unit    string
}

// Run runs a scenario. An error comes with what was found up to then, which may be nil.
func Run(ctx context.Context, o Options) (*Result, error) {
	s, err := FindScenario(o.Scenario)
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := allowFiles(o.connections()); err != nil {
		return nil, err
	}
	d, err := newDialer(&o)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, scenario: s, id: rand.Uint32(), dialer: d}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	r.result = &Result{Scenario: o.Scenario, URL: o.URL, Protocol: o.Version.String(), QoS: o.QoS}
	if s.Has("size") {
		r.result.Size = o.Size
	}
	if s.Has("burst") {
		r.result.Burst = o.Burst
	}
	return r.result, r.whole()
}

// whole is the run from the first connection to the last look at memory.
func (r *run) whole() error {
	var err error
	if r.before, err = r.probe(0); err != nil {
		return err
	}
	undo := context.AfterFunc(r.ctx, r.cutAll)
	progress := make(chan struct{})
	go r.progressLoop(progress)
	err = r.scenario.run(r)
	r.ending.Store(true)
	r.leaveAll()
	undo()
	r.loops.Wait()
	r.cancel(nil)
	<-progress
	if cause := context.Cause(r.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // why a client ended, rather than what came of it
	}
	if len(r.subscribers) > 0 && len(r.result.Phases) > 0 {
		r.books(&r.result.Phases[len(r.result.Phases)-1])
	}
	if err != nil {
		return err
	}
	if err := r.rest(); err != nil {
		return err
	}
	return r.verdict()
}

// fail ends the run.
func (r *run) fail(err error) { r.cancel(err) }

// keep notes a client that lives as long as the run.
func (r *run) keep(c *client) {
	r.mu.Lock()
	r.clients = append(r.clients, c)
	r.mu.Unlock()
	if r.ctx.Err() != nil {
		c.conn.Close()
	}
}

func (r *run) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.conn.Close()
	}
}

func (r *run) leaveAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.leave()
	}
	r.clients = nil
}

// serve reads a client's connection until the run ends.
func (r *run) serve(c *client, s sink) {
	size := readBuffer
	if r.result.Publishers+r.result.Subscribers > manyConnections {
		size = readBufferMany
	}
	r.loops.Go(func() {
		if err := r.readLoop(c, s, size); !r.ending.Load() {
			r.fail(c.failed(err))
		}
	})
}

// connecting is how many handshakes are under way at once: listen queues have
// room for more (mosquitto: 100).
const connecting = 32

// each does n things, several at a time, and returns the first error.
func (r *run) each(n, atOnce int, do func(i int) error) error {
	var next, failed atomic.Int64
	var once sync.Once
	var first error
	var w sync.WaitGroup
	for range min(n, atOnce) {
		w.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == 0 && r.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.Store(1)
					once.Do(func() { first = err })
				}
			}
		})
	}
	w.Wait()
	if first == nil && r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return first
}

// name is a client's identifier: of this run, so that two tools do not take over
// each other's sessions, and at most 23 characters (3.1.3.1).
func (r *run) name(role string, i int) string { return fmt.Sprintf("b%08x%s%d", r.id, role, i) }

// sleep returns early, with the cause, when the run ends.
func (r *run) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// announce says what progress is of: the phase, what is counted, and how to read it.
func (r *run) announce(phase, unit string, counter func() int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phaseOf, r.unit, r.counter = phase, unit, counter
}

func (r *run) progressLoop(done chan<- struct{}) {
	defer close(done)
	if r.o.Progress == nil {
		return
	}
	began, last, lastPhase := time.Now(), int64(0), ""
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-t.C:
		}
		r.mu.Lock()
		phase, unit, counter := r.phaseOf, r.unit, r.counter
		r.mu.Unlock()
		if counter == nil {
			continue
		}
		n := counter()
		if phase != lastPhase && n < last {
			last = 0
		}
		r.o.Progress(Progress{Phase: phase, Elapsed: time.Since(began), Done: n, Rate: float64(n - last), Unit: unit})
		last, lastPhase = n, phase
	}
}

// rest looks at the broker's memory once more, when nobody is connected.
func (r *run) rest() error {
	if r.o.PID == 0 || r.o.Rest == 0 || len(r.result.Phases) == 0 {
		return nil
	}
	time.Sleep(r.o.Rest)
	u, err := readUsage(r.o.PID)
	if err != nil {
		return err
	}
	r.result.Phases[len(r.result.Phases)-1].Broker.RSSRest = u.rss
	return nil
}

// books counts what came and what did not, when all readers have ended.
func (r *run) books(p *Phase) {
	for _, s := range r.subscribers {
		p.Foreign += int64(s.foreign.Load())
		for i, from := range s.streams {
			if from == nil {
				continue
			}
			due := r.publishers[s.first+i].due(s)
			p.Due += int64(due)
			p.Lost += int64(due) - int64(from.received())
			p.Duplicated += int64(from.duplicated)
			p.Reordered += int64(from.reordered)
		}
	}
	var all distribution
	for _, s := range r.subscribers {
		all.merge(s.times)
	}
	if l := all.latency(); l != nil {
		p.Latency = l
	}
}

// verdict is an error when QoS 1 or 2 did not keep what it promises. That a
// message comes twice is allowed with QoS 1 (4.3.2), but only when it was sent
// again, which nobody does here.
func (r *run) verdict() error {
	var d Deliveries
	for _, p := range r.result.Phases {
		d.Due += p.Due
		d.Lost += p.Lost
		d.Duplicated += p.Duplicated
		d.Reordered += p.Reordered
	}
	if r.o.QoS == 0 || d.Lost+d.Duplicated+d.Reordered == 0 {
		return nil
	}
	return fmt.Errorf("of %d messages with QoS %d, %d were lost, %d came twice and %d out of order", d.Due, r.o.QoS, d.Lost, d.Duplicated, d.Reordered)
}
