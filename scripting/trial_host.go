package scripting

import (
	"time"

	"lunamq/core"
)

// The rest of Host: in a trial nobody is connected, and what is retained is
// what rules have retained in it.

// newTrialBroker makes a broker that nobody connects to, and that publishes
// nothing of its own.
func newTrialBroker() (*core.Broker, error) {
	o := core.DefaultOptions()
	o.SysInterval = 0
	return core.New(o)
}

// Act is Host: what is done queues its effects as an event does.
func (t *trial) Act(do func(*core.Turn) bool) {
	turn := new(core.Turn)
	turn.Settle(!do(turn))
}

// Client is Host.
func (t *trial) Client(_, _ string) *core.Client { return nil }

// Clients is Host.
func (t *trial) Clients(dst []*core.Client, _ int) ([]*core.Client, bool) { return dst, false }

// Subscribe is Host.
func (t *trial) Subscribe(_, id, filter string, qos byte) error {
	if t.outcome != nil && t.keep(len(id)+len(filter)) {
		t.outcome.subscribed = append(t.outcome.subscribed, onBehalfOf{id, filter, qos})
	}
	return nil
}

// Unsubscribe is Host.
func (t *trial) Unsubscribe(_, id, filter string) error {
	if t.outcome != nil && t.keep(len(id)+len(filter)) {
		t.outcome.unsubscribed = append(t.outcome.unsubscribed, onBehalfOf{id: id, filter: filter})
	}
	return nil
}

// Retained is Host.
func (t *trial) Retained(topic string) *core.Message { return t.broker.Retained(topic) }

// RetainedAll is Host.
func (t *trial) RetainedAll(filter string) *core.RetainedMessages {
	return t.broker.RetainedAll(filter)
}

// Registry is Host.
func (t *trial) Registry() *core.Registry { return t.broker.Registry() }

// begin is what taking over is elsewhere: load, and the timers run from now on.
func (t *trial) begin() error {
	t.engine.afterFunc = func(time.Duration, func()) stopper { return noClock{} } // advance fires them
	if err := t.engine.takeOver(t.generation, nil); err != nil {
		return err
	}
	t.generation.world(0).takeMetrics()
	t.generation.timers.start()
	return nil
}

// noClock is the clock of timers that advance fires.
type noClock struct{}

func (noClock) Stop() bool { return true }

// advance moves the clock on, from one timer that is due to the next.
func (t *trial) advance(d time.Duration) {
	end := t.now.Add(d)
	for t.ctx.Err() == nil {
		at, ok := t.generation.timers.nextDue()
		if !ok || at.After(end) {
			break
		}
		if at.After(t.now) {
			t.now = at
		}
		t.generation.timers.fire()
	}
	t.now = end
}

// nextDue is when the next timer is due; false if there is none.
func (ts *timers) nextDue() (time.Time, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.due) == 0 {
		return time.Time{}, false
	}
	return ts.due[0].at, true
}
