package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// closed is the scenarios pair, fanout, fanin and pingpong: who gets whose
// messages is what filters and topics say.
func (r *run) closed() error {
	if err := r.gather(); err != nil {
		return err
	}
	return r.load("messages", (*publisher).closedLoop)
}

// sender sends until stop is closed, or as many messages as quota says: 0 for
// no end.
type sender func(p *publisher, quota int, stop <-chan struct{}) error

// load warms up, then measures.
func (r *run) load(name string, send sender) error {
	r.announce("warm-up", "messages", r.arrived)
	if r.o.Warmup > 0 {
		if _, err := r.leg(send, 0, r.o.Warmup); err != nil {
			return err
		}
	}
	r.announce(name, "messages", r.arrived)
	r.from.Store(now())
	from, err := r.probe(r.arrived())
	if err != nil {
		return err
	}
	to, err := r.leg(send, r.o.Messages, r.o.Duration)
	if to.at > 0 {
		r.phase(name, "messages", from, to)
	}
	return err
}

// leg lets all publishers send, for a time or so many messages in all, and then
// waits for what is under way. It returns where things stood when the last
// message was sent, or, of a number of messages, had arrived.
func (r *run) leg(send sender, messages int, d time.Duration) (end probe, err error) {
	stop, sent := make(chan struct{}), make(chan struct{})
	var senders sync.WaitGroup
	for i, p := range r.publishers {
		quota := share(messages, len(r.publishers), i)
		if messages > 0 && quota == 0 {
			continue
		}
		senders.Go(func() {
			if err := send(p, quota, stop); err != nil {
				r.fail(p.c.failed(err))
			}
		})
	}
	go func() { senders.Wait(); close(sent) }()
	if messages > 0 {
		d = 0
	}
	r.watch(sent, d)
	if messages == 0 {
		end, err = r.probe(r.arrived())
	}
	close(stop)
	<-sent
	r.drain()
	if messages > 0 {
		end, err = r.probe(r.arrived())
	}
	if err == nil {
		err = r.barrier()
	}
	if err == nil && r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	return end, err
}

// share is the part of publisher i in n messages.
func share(n, publishers, i int) int {
	part := n / publishers
	if i < n%publishers {
		part++
	}
	return part
}

// look is how often it is looked whether anything arrives, and whether all has.
const look = time.Millisecond

// watch returns when everything is sent, when d is over (0: never), or when
// nothing has arrived for long.
func (r *run) watch(sent <-chan struct{}, d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	check := time.NewTicker(100 * look)
	defer check.Stop()
	last, since := r.progress(), time.Now()
	for {
		select {
		case <-sent:
			return
		case <-over:
			return
		case <-r.ctx.Done():
			return
		case <-check.C:
		}
		if n := r.progress(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > r.o.Patience {
			return
		}
	}
}

// drain waits until all that was sent has arrived and is acknowledged, or until
// nothing comes any more.
func (r *run) drain() {
	check := time.NewTicker(look)
	defer check.Stop()
	last, since := r.progress(), time.Now()
	for !r.isDrained() && time.Since(since) < r.o.Patience {
		select {
		case <-check.C:
		case <-r.ctx.Done():
			return
		}
		if n := r.progress(); n != last {
			last, since = n, time.Now()
		}
	}
}

func (r *run) isDrained() bool {
	for _, p := range r.publishers {
		if p.acks != nil && p.acks.got.Load() < p.sent {
			return false
		}
		for _, m := range p.meters {
			if m.got.Load() < p.sent {
				return false
			}
		}
	}
	return true
}

// arrived is how many messages have come, to all subscribers.
func (r *run) arrived() int64 {
	n := uint64(0)
	for _, p := range r.publishers {
		for _, m := range p.meters {
			n += m.got.Load()
		}
	}
	return int64(n)
}

// progress changes whenever a message arrives or is acknowledged.
func (r *run) progress() int64 {
	n := r.arrived()
	for _, p := range r.publishers {
		if p.acks != nil {
			n += int64(p.acks.got.Load())
		}
	}
	return n
}

// barrier waits for an answer to PINGREQ of each subscriber, which comes behind
// all that the broker had to send: also what comes twice. Then it looks whether
// everything was acknowledged.
func (r *run) barrier() error {
	err := r.each(len(r.subscribers), connecting, func(i int) error { return r.subscribers[i].ping() })
	if err != nil || r.ctx.Err() != nil {
		return err
	}
	for _, p := range r.publishers {
		if p.acks == nil {
			continue
		}
		if acked := p.acks.got.Load(); acked < p.sent {
			return p.c.failed(fmt.Errorf("%d of %d messages with QoS %d were not acknowledged", p.sent-acked, p.sent, r.o.QoS))
		}
	}
	return nil
}

var errNoPong = errors.New("the broker does not answer PINGREQ")

// ping waits for an answer to PINGREQ.
func (s *subscriber) ping() error {
	select {
	case <-s.pongs: // of a ping that was given up
	default:
	}
	if _, err := s.c.conn.Write(pingreq); err != nil {
		return s.c.failed(err)
	}
	t := time.NewTimer(s.run.o.Timeout)
	defer t.Stop()
	select {
	case <-s.pongs:
		return nil
	case <-t.C:
		return s.c.failed(errNoPong)
	case <-s.run.ctx.Done():
		return context.Cause(s.run.ctx)
	}
}

// closedLoop sends a burst whenever the window has room for it.
func (p *publisher) closedLoop(quota int, stop <-chan struct{}) error {
	began := p.sent
	for {
		n := min(p.run.o.Burst, int(p.window))
		if quota > 0 {
			n = min(n, quota-int(p.sent-began))
		}
		if n == 0 || !p.room(uint64(n), stop) {
			return nil
		}
		select {
		case <-stop:
			return nil
		default:
		}
		if err := p.send(n, now()); err != nil {
			return err
		}
	}
}

// room waits until n messages may be sent. When the window is full it waits
// until half of it is free: a publisher that is woken for every message costs
// more than the broker that is measured.
func (p *publisher) room(n uint64, stop <-chan struct{}) bool {
	full := p.sent + n
	if full <= p.window {
		return true
	}
	least, half := full-p.window, full-n-min(full-n, p.window/2)
	for _, m := range p.meters {
		if m.got.Load() < least && !m.wait(max(least, half), stop) {
			return false
		}
	}
	if p.acks != nil && p.acks.got.Load() < least {
		return p.acks.wait(max(least, half), stop)
	}
	return true
}
