package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"lunamq/core/packet"
)

// publisher is one client that sends.
type publisher struct {
	// Immutable:
	run    *run
	c      *client
	number int
	topic  pattern
	meters []*meter // of those that get its messages
	acks   *meter   // nil with QoS 0
	wake   chan struct{}
	pongs  *meter // answers to PINGREQ
	window uint64
	retain bool
	base   uint64 // of its messages' numbers, in the scenario retained

	// Owned by the sender:
	sent   uint64
	lines  []uint64 // messages sent for each stream: one for all, or one for each subscriber of the scenario filters
	buf    []byte
	each   int // bytes of a packet while the topic is fixed, else 0
	nextID uint16
	filler []byte
	name   []byte // the topic under construction
	pings  uint64

	answered meter // messages of the scenario retained that the broker has taken

	mu sync.Mutex

	// Guarded by mu:
	under []packet.Type // by packet identifier: the answer that is due; 0: the identifier is free

	// Owned by the reader:
	answers []byte
	done    uint64 // acknowledged in this read
}

func (r *run) newPublisher(c *client, number int, topic pattern) *publisher {
	p := &publisher{run: r, c: c, number: number, topic: topic, wake: make(chan struct{}, 1), lines: make([]uint64, 1)}
	p.pongs = &meter{wake: p.wake}
	p.filler = make([]byte, r.o.Size)
	for i := range p.filler {
		p.filler[i] = 'x'
	}
	if r.o.QoS > 0 {
		p.acks = &meter{wake: p.wake}
		p.under = make([]packet.Type, 1<<16)
	}
	if topic.isFixed() {
		for range r.o.Burst {
			p.buf = p.append(p.buf, 0, stamp{})
		}
		p.each = len(p.buf) / r.o.Burst
	}
	return p
}

// append appends one PUBLISH whose %n is n; its packet identifier is left 0.
func (p *publisher) append(dst []byte, n uint64, s stamp) []byte {
	qos := p.run.o.QoS
	p.name = p.topic.append(p.name[:0], uint64(p.number), n)
	length := 2 + len(p.name) + len(p.filler)
	if qos > 0 {
		length += 2
	}
	if p.run.o.Version >= packet.V5 {
		length++
	}
	flags := qos << 1
	if p.retain {
		flags |= 1
	}
	dst = packet.AppendFixedHeader(dst, packet.PUBLISH, flags, length)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.name)))
	dst = append(dst, p.name...)
	if qos > 0 {
		dst = append(dst, 0, 0)
	}
	if p.run.o.Version >= packet.V5 {
		dst = append(dst, 0) // no properties
	}
	dst = append(dst, p.filler...)
	if len(p.filler) > 0 { // else it takes a retained message away
		s.put(dst[len(dst)-len(p.filler):])
	}
	return dst
}

// send sends n messages in one write. sent is when they are sent, or were due.
func (p *publisher) send(n int, sent int64) error {
	var err error
	if p.each > 0 {
		err = p.patch(n, sent)
	} else {
		err = p.encode(n, sent)
	}
	if err != nil {
		return err
	}
	out := p.buf
	if p.each > 0 {
		out = p.buf[:n*p.each]
	}
	_, err = p.c.conn.Write(out)
	return err
}

// patch stamps the first n of the packets that are encoded already.
func (p *publisher) patch(n int, sent int64) error {
	s := stamp{run: p.run.id, publisher: uint32(p.number), sent: sent}
	for i := range n {
		one := p.buf[i*p.each : (i+1)*p.each]
		s.number = p.count(0)
		s.put(one[len(one)-len(p.filler):])
	}
	return p.identify(p.buf[:n*p.each], n)
}

// encode encodes n packets, each with a topic of its own.
func (p *publisher) encode(n int, sent int64) error {
	p.buf = p.buf[:0]
	s := stamp{run: p.run.id, publisher: uint32(p.number), sent: sent}
	for range n {
		place, line := p.base+p.sent, 0
		if f := p.run.filters; f > 0 {
			place = rand.Uint64N(uint64(f)) // a walk in order would be kinder to caches than clients are
			line = int(place) / p.run.filtersEach
		}
		s.number = p.base + p.count(line)
		p.buf = p.append(p.buf, place, s)
	}
	return p.identify(p.buf, n)
}

// count returns the number of the next message of a line.
func (p *publisher) count(line int) uint64 {
	n := p.lines[line]
	p.lines[line]++
	p.sent++
	return n
}

// identify gives the n packets in buf their packet identifiers.
func (p *publisher) identify(buf []byte, n int) error {
	if p.run.o.QoS == 0 {
		return nil
	}
	due := packet.PUBACK
	if p.run.o.QoS == 2 {
		due = packet.PUBREC
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		h, _, err := packet.ParseHeader(buf)
		if err != nil {
			return err
		}
		if p.nextID++; p.nextID == 0 {
			p.nextID = 1 // [MQTT-2.2.1-2]
		}
		if want := p.under[p.nextID]; want != 0 {
			return fmt.Errorf("no %s for packet %d after all other identifiers were used", want, p.nextID)
		}
		p.under[p.nextID] = due
		at := h.HeaderLen + 2 + int(binary.BigEndian.Uint16(buf[h.HeaderLen:]))
		binary.BigEndian.PutUint16(buf[at:], p.nextID)
		buf = buf[h.Size:]
	}
	return nil
}

func (p *publisher) publish(byte, uint16, []byte, int64) {} // it has no subscription

func (p *publisher) answer(h packet.Header, _ []byte) error {
	if h.Type != packet.PINGRESP {
		return notAsked(h.Type)
	}
	p.pongs.add(1)
	return nil
}

// ack takes one answer to a message.
func (p *publisher) ack(t packet.Type, id uint16, code packet.ReasonCode) error {
	if p.acks == nil {
		return unexpected(t, id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under[id] != t || t == packet.PUBREL {
		return unexpected(t, id)
	}
	if code.IsError() {
		return fmt.Errorf("the broker refuses a message: %s", code)
	}
	if t == packet.PUBREC {
		p.under[id] = packet.PUBCOMP
		p.answers = release(p.answers, id)
		return nil
	}
	p.under[id] = 0
	p.done++
	return nil
}

func unexpected(t packet.Type, id uint16) error {
	return fmt.Errorf("%s for packet %d, which waits for none", t, id)
}

// flush answers what came in this read.
func (p *publisher) flush(int64) error {
	if len(p.answers) > 0 {
		if _, err := p.c.conn.Write(p.answers); err != nil {
			return err
		}
		p.answers = p.answers[:0]
	}
	if p.done > 0 {
		p.acks.add(p.done)
		p.done = 0
	}
	return nil
}
