package bench

import (
	"context"
	"sync/atomic"
)

// connects has clients connect, wait for CONNACK and disconnect, again and again.
// Latency is from the first SYN to CONNACK.
func (r *run) connects() error {
	r.result.Subscribers = r.o.Clients
	var number, done atomic.Int64
	r.announce("warm-up", "connections", done.Load)
	if r.o.Warmup > 0 {
		if err := r.connectFor(r.o.Warmup.Seconds(), 0, &number, &done, make([]histogram, r.o.Clients)); err != nil {
			return err
		}
	}
	r.announce("connect", "connections", done.Load)
	from, err := r.probe(done.Load())
	if err != nil {
		return err
	}
	times := make([]histogram, r.o.Clients)
	if err := r.connectFor(r.o.Duration.Seconds(), r.o.Messages, &number, &done, times); err != nil {
		return err
	}
	to, err := r.probe(done.Load())
	if err != nil {
		return err
	}
	var all distribution
	for i := range times {
		all.merge(&times[i])
	}
	r.phase("connect", "connections", from, to).Latency = all.latency()
	return nil
}

// connectFor connects again and again for so many seconds, or so many times.
func (r *run) connectFor(seconds float64, times int, number, done *atomic.Int64, latencies []histogram) error {
	until, last := now()+int64(seconds*1e9), done.Load()+int64(times)
	return r.each(r.o.Clients, r.o.Clients, func(i int) error {
		for r.ctx.Err() == nil {
			n := int(number.Add(1))
			if times > 0 && int64(n) > last || times == 0 && now() > until {
				number.Add(-1)
				return nil
			}
			began := now()
			c, err := r.connect(r.ctx, r.name("c", i), n)
			if err != nil {
				return err
			}
			latencies[i].add(now()-began, 1)
			c.leave()
			done.Add(1)
		}
		return context.Cause(r.ctx)
	})
}
