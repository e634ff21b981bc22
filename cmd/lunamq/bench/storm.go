package bench

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// storm connects clients with a subscription each, cuts all connections at once,
// and has all come back at once. Latency is from the cut to SUBACK.
func (r *run) storm() error {
	filter, err := parseFilter(r.o.Filter)
	if err != nil {
		return err
	}
	n := r.o.Clients
	r.result.Subscribers = n
	s := &stormClients{run: r, filter: filter, clients: make([]*client, n), times: make([]int64, n)}
	r.announce("connect", "clients", s.back.Load)
	if err := s.phase("connect", connecting, s.connect); err != nil {
		return err
	}
	r.cutAtOnce()
	s.back.Store(0)
	r.announce("back", "clients", s.back.Load)
	if err := s.phase("back", n, s.comeBack); err != nil {
		return err
	}
	r.result.Phases[len(r.result.Phases)-1].Failed = s.failed.Load()
	return r.each(n, connecting, func(i int) error { return s.clients[i].ping(r.o.Timeout) })
}

// stormClients are those of one storm.
type stormClients struct {
	run     *run
	filter  pattern
	clients []*client
	times   []int64 // when each was back, in nanoseconds since the phase began
	began   int64
	back    atomic.Int64
	failed  atomic.Int64
}

// phase measures how long it takes until all are connected.
func (s *stormClients) phase(name string, atOnce int, connect func(i int) error) error {
	from, err := s.run.probe(0)
	if err != nil {
		return err
	}
	s.began = from.at
	err = s.run.each(len(s.clients), atOnce, func(i int) error {
		err := connect(i)
		s.times[i] = now() - s.began
		s.back.Add(1)
		return err
	})
	if err != nil {
		return err
	}
	to, err := s.run.probe(int64(len(s.clients)))
	if err == nil {
		s.run.phase(name, "clients", from, to).Latency = latencyOf(s.times)
	}
	return err
}

func (s *stormClients) connect(i int) error {
	c, err := s.run.connect(s.run.ctx, s.run.name("r", i), i)
	if err != nil {
		return err
	}
	if err := c.subscribe([]string{s.filter.text(uint64(i), 0)}, s.run.o.QoS, s.run.o.Timeout); err != nil {
		c.conn.Close()
		return err
	}
	s.clients[i] = c
	s.run.keep(c)
	return nil
}

// comeBack tries until it is connected, as clients do, for as long as an answer
// may take.
func (s *stormClients) comeBack(i int) error {
	for {
		err := s.connect(i)
		if err == nil {
			return nil
		}
		s.failed.Add(1)
		if now()-s.began > int64(s.run.o.Timeout) {
			return fmt.Errorf("not back after %v: %w", s.run.o.Timeout, err)
		}
		if err := s.run.sleep(50*time.Millisecond + rand.N(100*time.Millisecond)); err != nil {
			return err
		}
	}
}

// cutAtOnce ends all connections without a word, by a reset where that can be.
func (r *run) cutAtOnce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.conn.Close()
	}
	r.clients = nil
}
