package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core/packet"
)

// TestCrash: publishers, receivers, connections that break and brokers that
// crash, at random, against what each of them knows: what was acknowledged to a
// publisher reaches every receiver, QoS 2 once, in order; and what a receiver
// was told is retained or subscribed still is.
func TestCrash(t *testing.T) {
	for seed := range uint64(crashRuns) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testCrash(t, rand.New(rand.NewPCG(seed, 6))) })
		})
	}
}

// crashRuns is how many histories are tried: some three seconds of them.
const crashRuns = 60

func testCrash(t *testing.T, rnd *rand.Rand) {
	w := newCrashWorld(t, rnd)
	defer func() { w.s.end() }()
	for range 20 + rnd.IntN(40) {
		w.step()
	}
	w.settle()
	w.check()
}

// crashWorld is the broker and its clients.
type crashWorld struct {
	t     *testing.T
	rnd   *rand.Rand
	s     *stage
	store *refStore
	from  []*crashPublisher
	to    []*crashReceiver
	did   []string
}

func newCrashWorld(t *testing.T, rnd *rand.Rand) *crashWorld {
	w := &crashWorld{t: t, rnd: rnd}
	w.s, w.store = newRefStage(t, func(o *Options) { spilling(o); o.Inflight = 10 })
	for i := range 2 {
		w.from = append(w.from, &crashPublisher{w: w, id: fmt.Sprint("p", i), flights: make(map[int]*crashFlight)})
	}
	for i, qos := range []string{"2", "1", "2"} {
		r := &crashReceiver{w: w, id: fmt.Sprint("r", i), qos: qos, taken: make(map[uint16]bool), next: make(map[string]int)}
		w.to = append(w.to, r)
		p := w.s.receiverOf("id="+r.id+" expiry=100000", "m/#:q"+qos)
		p.drop()
	}
	w.store.set(func(s *refStore) { s.delay = time.Duration(rnd.IntN(4)) * time.Millisecond })
	return w
}

func (w *crashWorld) step() {
	pick := w.rnd.IntN
	do := ""
	switch act := pick(20); {
	case act < 7:
		p := w.from[pick(len(w.from))]
		n := 1 + pick(40)
		p.publish(n)
		do = fmt.Sprintf("%s publishes %d", p.id, n)
	case act < 11:
		r := w.to[pick(len(w.to))]
		r.connect(1 + pick(15))
		do = r.id + " connects"
	case act < 15:
		r := w.to[pick(len(w.to))]
		n := pick(60)
		r.take(n)
		do = fmt.Sprintf("%s takes %d", r.id, n)
	case act < 16:
		w.to[pick(len(w.to))].leave()
		do = "a receiver leaves"
	case act < 17:
		w.from[pick(len(w.from))].leave()
		do = "a publisher leaves"
	case act < 18:
		d := time.Duration(pick(5)) * time.Millisecond
		time.Sleep(d)
		do = "wait " + d.String()
	default:
		w.crash()
		do = "crash"
	}
	w.did = append(w.did, do)
	for _, p := range w.from {
		p.hear()
	}
}

// crash ends the broker as it is; what clients were sent by then they have.
func (w *crashWorld) crash() {
	if w.rnd.IntN(2) == 0 {
		synctest.Wait()
	} else {
		time.Sleep(time.Millisecond)
	}
	after := w.store.crash()
	for _, p := range w.from {
		p.hear()
		p.leave()
	}
	for _, r := range w.to {
		r.leave()
	}
	close(w.store.buried)
	w.s.end()
	o := w.s.b.o
	o.Store = after
	w.s, w.store = newStage(w.t, o), after
}

// settle lets everything that is under way come to its end.
func (w *crashWorld) settle() {
	for _, r := range w.to {
		r.connect(20)
	}
	for quiet := 0; quiet < 20; {
		busy := false
		for _, p := range w.from {
			p.resume()
			busy = p.hear() || busy || len(p.flights) > 0
		}
		for _, r := range w.to {
			busy = r.take(-1) || busy
		}
		time.Sleep(10 * time.Millisecond)
		if quiet++; busy {
			quiet = 0
		}
	}
}

// check holds what came against what was acknowledged.
func (w *crashWorld) check() {
	for _, p := range w.from {
		for _, r := range w.to {
			for qos := 1; qos <= 2; qos++ {
				kind := fmt.Sprintf("%s/%d", p.id, qos)
				if r.next[kind] != p.sent[qos] {
					w.t.Errorf("%s has %d messages of %s, of %d that were acknowledged", r.id, r.next[kind], kind, p.sent[qos])
				}
			}
		}
	}
	synctest.Wait()
	if n := w.store.left(); n != 0 {
		w.t.Errorf("%d messages are left in the store", n)
	}
	b := w.s.b
	if b.queuedCount.Load() != 0 || b.queuedBytes.Load() != 0 || b.spilledBytes.Load() != 0 {
		w.t.Errorf("left: %d counted, %d bytes in memory, %d in the store", b.queuedCount.Load(), b.queuedBytes.Load(), b.spilledBytes.Load())
	}
	for _, p := range w.from {
		got := ""
		if x, ok := b.retained.tree.Get("m/" + p.id + "/kept"); ok {
			got = string(x.msg.Payload)
		}
		if want := fmt.Sprint(p.sent[1] - 1); p.sent[1] > 0 && got != want {
			w.t.Errorf("%q is retained of %s, want %s", got, p.id, want)
		}
	}
	if w.t.Failed() {
		w.t.Logf("after %q", w.did)
	}
}

// crashPublisher publishes numbered messages of QoS 1 and 2, one topic each,
// and sends again what was not acknowledged. Those of QoS 1 are retained.
type crashPublisher struct {
	w       *crashWorld
	id      string
	p       *peer
	sent    [3]int               // by QoS
	flights map[int]*crashFlight // by packet identifier
	order   []int
	last    int
}

// crashFlight is what was not acknowledged yet.
type crashFlight struct {
	line     string
	released bool
}

func (c *crashPublisher) publish(n int) {
	c.resume()
	for i := range n {
		for c.last++; c.flights[1+c.last%60000] != nil; c.last++ {
		}
		id, qos := 1+c.last%60000, 1+i%2
		line := fmt.Sprintf("PUBLISH topic=m/%s/%s q=%d id=%d payload=%d", c.id, [3]string{"", "kept retain", "once"}[qos], qos, id, c.sent[qos])
		c.sent[qos]++
		c.flights[id] = &crashFlight{line: line}
		c.order = append(c.order, id)
		c.p.send(line)
	}
}

// resume connects, if it is not, and sends again what is unacknowledged
// [MQTT-4.4.0-1].
func (c *crashPublisher) resume() {
	if c.p != nil && !c.p.isClosed() {
		return
	}
	c.p = c.w.s.dial()
	c.p.send("CONNECT id=" + c.id + " expiry=100000")
	c.order = slices.DeleteFunc(c.order, func(id int) bool { return c.flights[id] == nil })
	for _, id := range c.order {
		f := c.flights[id]
		if f.released {
			c.p.send(fmt.Sprintf("PUBREL id=%d", id))
			continue
		}
		c.p.send(f.line + " dup")
	}
}

// hear takes acknowledgements and says whether some came.
func (c *crashPublisher) hear() (some bool) {
	if c.p == nil {
		return false
	}
	for _, got := range c.p.packets() {
		x, _ := decodePacket(got, c.p.version)
		a, ok := x.(*packet.Ack)
		if !ok {
			continue
		}
		some = true
		id := int(a.PacketID)
		switch {
		case a.Code.IsError() && a.Type != packet.PUBCOMP:
			c.w.t.Errorf("%s: %s %s", c.id, a.Type, a.Code)
		case a.Type == packet.PUBREC:
			if f := c.flights[id]; f != nil {
				f.released = true
			}
			c.p.send(fmt.Sprintf("PUBREL id=%d", id))
		default:
			delete(c.flights, id)
		}
	}
	return some
}

func (c *crashPublisher) leave() {
	if c.p != nil {
		c.p.drop()
	}
}

// crashReceiver takes what comes and answers it.
type crashReceiver struct {
	w       *crashWorld
	id, qos string
	p       *peer
	taken   map[uint16]bool // QoS 2 identifiers
	next    map[string]int  // number by publisher and QoS as published
}

func (c *crashReceiver) connect(max int) {
	c.leave()
	c.p = c.w.s.dial()
	c.p.send(fmt.Sprintf("CONNECT id=%s expiry=100000 rm=%d", c.id, max))
}

func (c *crashReceiver) leave() {
	if c.p != nil {
		c.p.drop()
		c.p = nil
	}
}

// take answers at most n packets, -1 for all, and loses the rest with the
// connection; it says whether some came.
func (c *crashReceiver) take(n int) (some bool) {
	if c.p == nil {
		return false
	}
	for _, got := range c.p.packets() {
		if n == 0 {
			c.leave()
			return some
		}
		n--
		some = true
		x, err := decodePacket(got, c.p.version)
		if err != nil {
			ack := packet.Type(got[0]>>4) == packet.CONNACK
			if ack && got[2] != 1 {
				c.w.t.Errorf("%s: the session is not present", c.id)
			}
			if ack {
				continue
			}
		}
		switch x := x.(type) {
		case *packet.Publish:
			c.note(x)
			c.p.send(fmt.Sprintf("%s id=%d", [3]string{"", "PUBACK", "PUBREC"}[x.QoS], x.PacketID))
		case *packet.Ack:
			delete(c.taken, x.PacketID)
			c.p.send(fmt.Sprintf("PUBCOMP id=%d", x.PacketID))
		}
	}
	return some
}

// note holds a message against those before it.
func (c *crashReceiver) note(p *packet.Publish) {
	if p.QoS == 2 && c.taken[p.PacketID] {
		if !p.Dup {
			c.w.t.Errorf("%s: identifier %d is used for two", c.id, p.PacketID)
		}
		return
	}
	if p.QoS == 2 {
		c.taken[p.PacketID] = true
	}
	publisher, qos := p.Topic[2:4], 1
	if p.Topic[5:] == "once" {
		qos = 2
	}
	kind := fmt.Sprintf("%s/%d", publisher, qos)
	n, want := 0, c.next[kind]
	fmt.Sscan(string(p.Payload), &n)
	switch {
	case n == want:
		c.next[kind]++
	case n > want:
		c.w.t.Errorf("%s: %s %d came, %d is missing (DUP %v)", c.id, kind, n, want, p.Dup)
		c.next[kind] = n + 1
	case p.QoS == 2 && qos == 2:
		c.w.t.Errorf("%s: %s %d came twice", c.id, kind, n)
	}
}
