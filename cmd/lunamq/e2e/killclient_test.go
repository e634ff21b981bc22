package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"

	"lunamq/core/packet"
)

// dialKilled opens a session that keeps.
func dialKilled(w *killWorld, addr, id string, receiveMaximum uint16) (s *socket, present bool, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, false, err
	}
	s = &socket{t: w.t, net: c, in: bufio.NewReaderSize(c, 32<<10), version: packet.V5}
	in := packet.Connect{Version: packet.V5, ClientID: id}
	in.Props.Set(packet.SessionExpiry)
	in.Props.SessionExpiry = 3600
	in.Props.Set(packet.ReceiveMaximum)
	in.Props.ReceiveMaximum = receiveMaximum
	if err := s.write(in.Append(nil)); err != nil {
		c.Close()
		return nil, false, err
	}
	h, b, err := s.read()
	var ack packet.Connack
	if err == nil && h.Type != packet.CONNACK {
		err = fmt.Errorf("%s instead of CONNACK", h.Type)
	}
	if err == nil {
		err = ack.Decode(s.version, h, b)
	}
	if err == nil && ack.Code != packet.Success {
		err = fmt.Errorf("CONNACK %s", ack.Code)
	}
	if err != nil {
		c.Close()
		return nil, false, err
	}
	return s, ack.SessionPresent, nil
}

// killPublisher publishes numbered messages of QoS 1, retained, and QoS 2, each
// on a topic of its own, and sends again what was not acknowledged.
type killPublisher struct {
	w  *killWorld
	id string

	// Guarded by w.mu:
	sent    [3]int // by QoS
	flights map[uint16]*killFlight
	done    bool

	// Owned by run:
	order  []uint16
	lastID uint16
}

type killFlight struct {
	qos      byte
	number   int
	released bool
}

func newKillPublisher(w *killWorld, id string) *killPublisher {
	return &killPublisher{w: w, id: id, flights: make(map[uint16]*killFlight)}
}

func (p *killPublisher) topic(qos byte) string {
	return "m/" + p.id + [3]string{"", "/kept", "/once"}[qos]
}

// killWindow is how many messages a publisher has unacknowledged at once.
const killWindow = 20

func (p *killPublisher) run() {
	p.w.visit(p.id, func(addr string) (bool, error) {
		s, _, err := dialKilled(p.w, addr, p.id, 65535)
		if err != nil {
			return false, err
		}
		defer s.net.Close()
		return p.publish(s)
	})
}

// publish sends again what is unacknowledged [MQTT-4.4.0-1], and then more.
func (p *killPublisher) publish(s *socket) (done bool, err error) {
	p.w.mu.Lock()
	p.order = slices.DeleteFunc(p.order, func(id uint16) bool { return p.flights[id] == nil })
	var out []byte
	for _, id := range p.order {
		out = p.appendFlight(out, id, true)
	}
	p.w.mu.Unlock()
	for {
		more, done := p.fill()
		if done {
			return true, nil
		}
		if out = append(out, more...); len(out) > 0 {
			if err := s.write(out); err != nil {
				return false, err
			}
			out = out[:0]
		}
		h, b, err := s.read()
		if err != nil {
			return false, err
		}
		var a packet.Ack
		if err := a.Decode(s.version, h, b); err != nil {
			return false, fmt.Errorf("%s: %w", h.Type, err)
		}
		if out, err = p.heard(out, a); err != nil {
			p.w.fail("%s: %w", p.id, err)
			return true, nil
		}
	}
}

func (p *killPublisher) appendFlight(out []byte, id uint16, dup bool) []byte {
	f := p.flights[id]
	if f.released {
		return (&packet.Ack{Type: packet.PUBREL, PacketID: id}).Append(out, packet.V5)
	}
	m := packet.Publish{Topic: p.topic(f.qos), QoS: f.qos, PacketID: id, Dup: dup, Retain: f.qos == 1, Payload: strconv.AppendInt(nil, int64(f.number), 10)}
	out, _ = packet.AppendPublish(out, packet.V5, &m)
	return out
}

// fill makes new messages up to the window; done, if no more are wanted and all
// are acknowledged.
func (p *killPublisher) fill() (out []byte, done bool) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for !p.w.stopping && len(p.flights) < killWindow {
		for p.lastID++; p.lastID == 0 || p.flights[p.lastID] != nil; p.lastID++ {
		}
		qos := byte(1 + p.lastID%2)
		p.flights[p.lastID] = &killFlight{qos: qos, number: p.sent[qos]}
		p.sent[qos]++
		p.order = append(p.order, p.lastID)
		out = p.appendFlight(out, p.lastID, false)
	}
	if len(p.order) > 10*killWindow {
		p.order = slices.DeleteFunc(p.order, func(id uint16) bool { return p.flights[id] == nil })
	}
	if len(p.flights) == 0 && p.w.stopping {
		p.done = true
		p.w.changed.Broadcast()
	}
	return out, p.done
}

// heard takes an acknowledgement and appends what it asks for.
func (p *killPublisher) heard(out []byte, a packet.Ack) ([]byte, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	f := p.flights[a.PacketID]
	switch {
	case a.Code.IsError() && a.Type != packet.PUBCOMP:
		return out, fmt.Errorf("%s %s", a.Type, a.Code)
	case f == nil:
		return out, fmt.Errorf("%s for identifier %d, which is free", a.Type, a.PacketID)
	case a.Type == packet.PUBREC:
		f.released = true
		return p.appendFlight(out, a.PacketID, false), nil
	}
	delete(p.flights, a.PacketID)
	p.w.acked++
	p.w.changed.Broadcast()
	return out, nil
}

// killReceiver has a session that receives everything. One comes when all is
// over, one leaves often, and the others are always there.
type killReceiver struct {
	w     *killWorld
	id    string
	qos   byte
	late  bool // comes at the end
	flees bool // leaves often

	// Guarded by w.mu:
	next map[string]int // number by topic

	// Owned by run:
	taken map[uint16]bool // QoS 2 identifiers
	rnd   *rand.Rand
}

func newKillReceiver(w *killWorld, i int) *killReceiver {
	return &killReceiver{
		w: w, id: fmt.Sprintf("r%d", i), qos: [4]byte{2, 1, 2, 2}[i], flees: i == 2, late: i == 3,
		next: make(map[string]int), taken: make(map[uint16]bool), rnd: rand.New(rand.NewPCG(uint64(i), 8)),
	}
}

// subscribe makes the session.
func (r *killReceiver) subscribe() {
	r.w.t.Helper()
	s, _, err := dialKilled(r.w, r.w.addr, r.id, 20)
	if err != nil {
		r.w.t.Fatal(err)
	}
	s.subscribe(r.qos, "m/#")
	s.net.Close()
}

func (r *killReceiver) run() {
	if r.late {
		r.w.mu.Lock()
		for !r.w.stopping {
			r.w.changed.Wait()
		}
		r.w.mu.Unlock()
	}
	r.w.visit(r.id, func(addr string) (bool, error) {
		s, present, err := dialKilled(r.w, addr, r.id, uint16(5+r.rnd.IntN(40)))
		if err != nil {
			return false, err
		}
		defer s.net.Close()
		if !present {
			r.w.fail("%s: the session is gone", r.id)
			return true, nil
		}
		return false, r.receive(s)
	})
}

// receive takes packets and answers them.
func (r *killReceiver) receive(s *socket) error {
	most := -1
	if r.flees {
		most = 1 + r.rnd.IntN(2000)
	}
	for n := 0; n != most; n++ {
		h, b, err := s.read()
		if errors.Is(err, os.ErrDeadlineExceeded) && r.isDone() {
			continue // others are not
		}
		if err != nil {
			return err
		}
		answer, err := r.take(h, b)
		if err != nil {
			r.w.fail("%s: %w", r.id, err)
			return nil
		}
		if n%7 == 3 && r.flees && n+1 == most {
			return nil // unanswered
		}
		if len(answer) > 0 {
			if err := s.write(answer); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *killReceiver) take(h packet.Header, b []byte) (answer []byte, err error) {
	switch h.Type {
	case packet.PUBLISH:
		var m packet.Publish
		if err := m.Decode(packet.V5, h, b); err != nil {
			return nil, err
		}
		a := packet.Ack{Type: packet.PUBACK, PacketID: m.PacketID}
		if m.QoS == 2 {
			a.Type = packet.PUBREC
		}
		return a.Append(nil, packet.V5), r.note(&m)
	case packet.PUBREL:
		var a packet.Ack
		if err := a.Decode(packet.V5, h, b); err != nil {
			return nil, err
		}
		delete(r.taken, a.PacketID)
		return (&packet.Ack{Type: packet.PUBCOMP, PacketID: a.PacketID}).Append(nil, packet.V5), nil
	}
	return nil, fmt.Errorf("%s came", h.Type)
}

// note holds a message against those before it.
func (r *killReceiver) note(m *packet.Publish) error {
	if m.QoS == 2 && r.taken[m.PacketID] {
		if !m.Dup {
			return fmt.Errorf("identifier %d is used for two messages", m.PacketID)
		}
		return nil
	}
	if m.QoS == 2 {
		r.taken[m.PacketID] = true
	}
	n, err := strconv.Atoi(string(m.Payload))
	if err != nil {
		return err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	switch want := r.next[m.Topic]; {
	case n == want:
		r.next[string(append([]byte(nil), m.Topic...))]++
		r.w.got++
		r.w.changed.Broadcast()
	case n > want:
		return fmt.Errorf("%s %d came, %d is missing", m.Topic, n, want)
	case m.QoS == 2 && m.Topic[len(m.Topic)-4:] == "once":
		return fmt.Errorf("%s %d came twice", m.Topic, n)
	}
	return nil
}

// isDone says that nothing more can come.
func (r *killReceiver) isDone() bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return r.w.stopping && r.hasAll()
}

// hasAll says whether everything has come that was sent. The caller holds w.mu.
func (r *killReceiver) hasAll() bool {
	for _, p := range r.w.publishers {
		for qos := byte(1); qos <= 2; qos++ {
			if r.next[p.topic(qos)] != p.sent[qos] {
				return false
			}
		}
	}
	return true
}

// killSubscriber subscribes and unsubscribes and knows what was acknowledged.
type killSubscriber struct {
	w    *killWorld
	done bool // guarded by w.mu

	// Owned by run, and by the test after it:
	there map[int]bool // numbers of filters that are subscribed
	doubt map[int]bool // those of which no acknowledgement came
	next  int
}

// killFilters is how many filters it has at most; the default limit is 1000.
const killFilters = 200

func (k *killSubscriber) run() {
	k.w.visit("subscriber", func(addr string) (bool, error) {
		s, present, err := dialKilled(k.w, addr, "subscriber", 20)
		if err != nil {
			return false, err
		}
		defer s.net.Close()
		if !present && len(k.there) > 0 {
			k.w.fail("subscriber: the session is gone")
			return true, nil
		}
		for {
			k.w.mu.Lock()
			k.done = k.w.stopping
			k.w.changed.Broadcast()
			k.w.mu.Unlock()
			if k.done {
				return true, nil
			}
			if err := k.change(s); err != nil {
				return false, err
			}
		}
	})
}

// change subscribes to the next filter, or unsubscribes from it.
func (k *killSubscriber) change(s *socket) error {
	n := k.next % killFilters
	k.next++
	k.doubt[n] = true
	filter := fmt.Sprint("s/", n)
	was := k.there[n]
	p := (&packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: filter, QoS: 1}}}).Append(nil, s.version)
	want := packet.SUBACK
	if was {
		p = (&packet.Unsubscribe{PacketID: 1, Filters: []string{filter}}).Append(nil, s.version)
		want = packet.UNSUBACK
	}
	if err := s.write(p); err != nil {
		return err
	}
	h, _, err := s.read()
	if err != nil {
		return err
	}
	if h.Type != want {
		return errors.New(h.Type.String() + " instead of " + want.String())
	}
	k.there[n] = !was
	delete(k.doubt, n)
	return nil
}

// check publishes to every filter and holds what comes against what is
// subscribed.
func (k *killSubscriber) check() {
	t := k.w.t
	t.Helper()
	s, _, err := dialKilled(k.w, k.w.addr, "subscriber", 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer s.net.Close()
	from := connectSocket(t, k.w.addr, packet.V5, "checker")
	defer from.net.Close()
	s.subscribe(1, barrierTopic)
	for n := range killFilters {
		from.publish(fmt.Sprint("s/", n), []byte(strconv.Itoa(n)))
	}
	from.publish(barrierTopic, nil)
	came := make(map[int]bool)
	for {
		m := s.message()
		if m.Topic == barrierTopic {
			break
		}
		n, _ := strconv.Atoi(string(m.Payload))
		came[n] = true
	}
	for n := range killFilters {
		if came[n] != k.there[n] && !k.doubt[n] {
			t.Errorf("filter %d: subscribed %v, a message came %v", n, k.there[n], came[n])
		}
	}
}
