package bench

import (
	"fmt"
	"time"
)

// idle connects clients with one subscription each and measures what they cost
// while they do nothing. In the end each must still answer.
func (r *run) idle() error {
	filter, err := parseFilter(r.o.Filter)
	if err != nil {
		return err
	}
	n := r.o.Clients
	r.result.Subscribers = n
	r.announce("settle", "clients", r.connected)
	if r.before, err = r.settle(0); err != nil {
		return err
	}
	r.announce("connect", "clients", r.connected)
	from, err := r.probe(0)
	if err != nil {
		return err
	}
	clients, times := make([]*client, n), make([]int64, n)
	err = r.each(n, connecting, func(i int) error {
		began := now()
		c, err := r.connect(r.ctx, r.name("i", i), i)
		if err != nil {
			return fmt.Errorf("%w (after %d of %d clients)", err, r.connected(), n)
		}
		r.keep(c)
		clients[i] = c
		err = c.subscribe([]string{filter.text(uint64(i), 0)}, r.o.QoS, r.o.Timeout)
		times[i] = now() - began
		return err
	})
	if err != nil {
		return err
	}
	to, err := r.probe(int64(n))
	if err != nil {
		return err
	}
	r.phase("connect", "clients", from, to).Latency = latencyOf(times)
	return r.idleMemory(clients)
}

// idleMemory waits until memory is settled, measures it, and looks whether all
// clients are still there.
func (r *run) idleMemory(clients []*client) error {
	r.announce("settle", "clients", r.connected)
	from, err := r.probe(0)
	if err != nil {
		return err
	}
	to, err := r.settle(int64(len(clients)))
	if err != nil {
		return err
	}
	p := r.phase("idle", "clients", from, to)
	p.OwnCPU, p.Rate = 0, 0
	if p.Broker != nil {
		p.Broker.CPU = 0 // of no use for each client: it grows with the wait
		p.Broker.PerClient = (to.broker.rss - r.before.broker.rss) / int64(len(clients))
	}
	return r.each(len(clients), connecting, func(i int) error { return clients[i].ping(r.o.Timeout) })
}

const (
	// steady: memory has settled when it has not moved by more than a 200th, or
	// by what one client may cost, in so many looks, a second apart. Runtimes
	// that collect garbage give memory back over seconds (Go's scavenger).
	steady      = 8
	steadyShare = 200
	steadyBytes = 64 << 10
)

// settle waits until the broker's memory does not change any more, at most as
// long as the options say.
func (r *run) settle(done int64) (probe, error) {
	var seen []int64
	for until := time.Now().Add(r.o.Settle); ; {
		p, err := r.probe(done)
		if err != nil || r.o.PID == 0 || time.Now().After(until) {
			return p, err
		}
		if seen = append(seen, p.broker.rss); len(seen) >= steady && isSteady(seen[len(seen)-steady:]) {
			return p, nil
		}
		if err := r.sleep(time.Second); err != nil {
			return p, err
		}
	}
}

func isSteady(seen []int64) bool {
	low, high := seen[0], seen[0]
	for _, n := range seen {
		low, high = min(low, n), max(high, n)
	}
	return high-low <= max(steadyBytes, high/steadyShare)
}
