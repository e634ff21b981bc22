package bench

import (
	"context"
	"fmt"
	"time"

	"lunamq/core/packet"
)

// retained sets retained messages, then reads them through a wildcard, one
// subscriber after another. In the end it takes them away.
func (r *run) retained() error {
	topic, err := parseTopic(r.o.Topic)
	if err != nil {
		return err
	}
	if !topic.has('n') {
		return optionError("--topic %q: must have %%n, for each retained message has a topic of its own", r.o.Topic)
	}
	filter, err := parseFilter(r.o.Filter)
	if err != nil {
		return err
	}
	if !matches(filter.text(0, 0), topic.text(0, 0)) {
		return errNobodyHears
	}
	r.result.Publishers, r.result.Subscribers = r.o.Publishers, r.o.Subscribers
	if err := r.addPublishers(r.o.Publishers, topic); err != nil {
		return err
	}
	base := 0
	for i, p := range r.publishers {
		p.retain, p.base, p.window = true, uint64(base), uint64(min(r.o.window(1), p.c.window))
		base += share(r.o.Count, len(r.publishers), i)
		r.serve(p.c, p)
	}
	r.result.Window = int(r.publishers[0].window)
	if err := r.setPhase(); err != nil {
		return err
	}
	err = r.readPhase(filter)
	if clearErr := r.clear(); err == nil {
		err = clearErr
	}
	return err
}

// setPhase sets them all. A publisher is done when the broker has answered what
// came last, so it has all that was before.
func (r *run) setPhase() error {
	r.announce("set", "messages", r.published)
	from, err := r.probe(0)
	if err != nil {
		return err
	}
	if err := r.publishAll(); err != nil {
		return err
	}
	to, err := r.probe(r.published())
	if err == nil {
		r.phase("set", "messages", from, to)
	}
	return err
}

// published is how many messages the broker has answered for.
func (r *run) published() int64 {
	n := uint64(0)
	for _, p := range r.publishers {
		n += p.answered.got.Load()
	}
	return int64(n)
}

func (r *run) publishAll() error {
	return r.each(len(r.publishers), len(r.publishers), func(i int) error {
		p := r.publishers[i]
		if err := p.publishAll(share(r.o.Count, len(r.publishers), i)); err != nil {
			return p.c.failed(err)
		}
		return nil
	})
}

// publishAll sends n messages, a window at a time, each behind the answer to the
// one before: of PINGREQ, which comes behind all messages, of QoS 0 too.
func (p *publisher) publishAll(n int) error {
	for n > 0 {
		part := min(n, int(p.window))
		for left := part; left > 0; {
			k := min(left, p.run.o.Burst)
			if err := p.send(k, now()); err != nil {
				return err
			}
			left -= k
		}
		if _, err := p.c.conn.Write(pingreq); err != nil {
			return err
		}
		p.pings++
		if !p.pongs.wait(p.pings, p.run.ctx.Done()) || p.acks != nil && !p.acks.wait(p.sent, p.run.ctx.Done()) {
			return context.Cause(p.run.ctx)
		}
		p.answered.add(uint64(part))
		n -= part
	}
	return nil
}

// readPhase has each subscriber read all of them.
func (r *run) readPhase(filter pattern) error {
	var read meter
	r.announce("read", "messages", func() int64 { return int64(read.got.Load()) })
	from, err := r.probe(0)
	if err != nil {
		return err
	}
	var books Deliveries
	for i := range r.o.Subscribers {
		c, err := r.connect(r.ctx, r.name("s", i), i)
		if err != nil {
			return err
		}
		r.keep(c)
		k := &collector{run: r, c: c, seen: make([]uint64, (r.o.Count+63)/64), left: r.o.Count, read: &read, complete: make(chan struct{})}
		if err := k.collect(filter.text(uint64(i), 0)); err != nil {
			return err
		}
		books.add(k)
	}
	to, err := r.probe(int64(read.got.Load()))
	if err == nil {
		r.phase("read", "messages", from, to).Deliveries = books
	}
	return err
}

// clear takes the retained messages away, by empty ones [MQTT-3.3.1-6].
func (r *run) clear() error {
	r.announce("clear", "messages", r.published)
	for _, p := range r.publishers {
		p.filler, p.sent, p.lines[0] = nil, 0, 0
		if p.acks != nil {
			p.acks.got.Store(0)
		}
	}
	return r.publishAll()
}

// collector takes the retained messages, in whatever order they come.
type collector struct {
	run      *run
	c        *client
	read     *meter        // counts them for progress
	complete chan struct{} // closed when all have come

	// Owned by the reader, and read when it has ended or all have come:
	seen       []uint64 // a bit for each message
	left       int
	fresh      uint64
	duplicated int64
	foreign    int64
	answers    []byte
}

// collect subscribes and waits until all have come, or none comes any more.
func (k *collector) collect(filter string) error {
	s := packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: filter, QoS: k.run.o.QoS}}}
	if _, err := k.c.conn.Write(s.Append(nil, k.c.version)); err != nil {
		return k.c.failed(err)
	}
	ended := make(chan error, 1)
	k.run.loops.Go(func() { ended <- k.run.readLoop(k.c, k, readBuffer) })
	last := k.read.got.Load()
	t := time.NewTicker(k.run.o.Patience)
	defer t.Stop()
	for {
		select {
		case <-k.complete:
		case err := <-ended:
			return k.c.failed(err)
		case <-k.run.ctx.Done():
			return context.Cause(k.run.ctx)
		case <-t.C:
			if n := k.read.got.Load(); n != last {
				last = n
				continue
			}
		}
		k.c.leave()
		<-ended
		return nil
	}
}

// add enters what a collector has got.
func (d *Deliveries) add(k *collector) {
	d.Due += int64(k.run.o.Count)
	d.Lost += int64(k.left)
	d.Duplicated += k.duplicated
	d.Foreign += k.foreign
}

func (k *collector) publish(qos byte, id uint16, payload []byte, _ int64) {
	k.answers = acknowledge(k.answers, qos, id)
	if len(payload) < MinSize {
		k.foreign++
		return
	}
	m := readStamp(payload)
	if m.run != k.run.id || m.number >= uint64(k.run.o.Count) {
		k.foreign++
		return
	}
	word, bit := m.number/64, uint64(1)<<(m.number%64)
	if k.seen[word]&bit != 0 {
		k.duplicated++
		return
	}
	k.seen[word] |= bit
	k.left--
	k.fresh++
}

func (k *collector) ack(t packet.Type, id uint16, _ packet.ReasonCode) error {
	if t != packet.PUBREL {
		return unexpected(t, id)
	}
	k.answers = complete(k.answers, id)
	return nil
}

func (k *collector) answer(h packet.Header, body []byte) error {
	if h.Type != packet.SUBACK {
		return notAsked(h.Type)
	}
	var ack packet.Suback
	if err := ack.Decode(k.c.version, h, body); err != nil {
		return err
	}
	if len(ack.Codes) != 1 || ack.Codes[0].IsError() {
		return fmt.Errorf("the broker refuses the subscription: %v", ack.Codes)
	}
	return nil
}

func (k *collector) flush(int64) error {
	if len(k.answers) > 0 {
		if _, err := k.c.conn.Write(k.answers); err != nil {
			return err
		}
		k.answers = k.answers[:0]
	}
	if k.fresh > 0 {
		k.read.add(k.fresh)
		k.fresh = 0
		if k.left == 0 {
			close(k.complete)
		}
	}
	return nil
}
