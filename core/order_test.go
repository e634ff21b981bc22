package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestOrder: ten publishers and subscribers of every QoS and version, with and
// without a deliver hook in between: from each publisher each subscriber gets
// the messages of a topic and QoS in the order of sending, none twice, none
// missing [MQTT-4.6.0-5], [MQTT-4.6.0-6].
func TestOrder(t *testing.T) {
	hook := deliverFunc(func(*DeliverEvent) Decision { return Decision{} })
	onDrivers(t, func(t *testing.T, d Driver) {
		t.Run("plain", func(t *testing.T) { testOrder(t, d) })
		t.Run("with a hook", func(t *testing.T) { testOrder(t, d, hook) })
	})
}

func testOrder(t *testing.T, d Driver, hooks ...any) {
	const publishers, messages = 10, 150
	o := wireOptions()
	o.Driver = d
	o.Queued, o.QueuedBytes = Unlimited, Unlimited
	o.TotalQueued = 1 << 40
	b, addr := serveTCP(t, o)
	if err := b.Register("test", hooks...); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, sub := range []struct{ line, filter string }{
		{"clean", "o/#:q0"}, {"clean rm=3", "o/#:q1"}, {"v311 clean", "o/#:q2"}, {"expiry=100 rm=7", "o/+:q2"}, {"clean", "$share/g/o/#:q1"},
	} {
		c := dialTCP(t, addr, fmt.Sprintf("id=s%d %s", i, sub.line), "SUBSCRIBE id=1 f="+sub.filter)
		wg.Go(func() { c.checkOrder(publishers * messages) })
	}
	for i := range publishers {
		p := dialTCP(t, addr, fmt.Sprintf("clean id=p%d", i))
		wg.Go(func() { p.publishAll(fmt.Sprintf("o/%d", i), messages) })
	}
	wg.Wait()
	if n := b.metrics.Dropped.Total(); n > 0 {
		t.Errorf("%d messages were dropped", n)
	}
}

// publishAll sends n numbered messages of QoS 0, 1 and 2 in turn and plays its
// part of the acknowledgements.
func (c *tcpClient) publishAll(name string, n int) {
	for i := range n {
		p := packet.Publish{Topic: name, QoS: byte(i % 3), Payload: strconv.AppendInt(nil, int64(i), 10)}
		if p.QoS > 0 {
			p.PacketID = uint16(i + 1)
		}
		c.write(p.Append(nil, c.version))
		if p.QoS > 0 && !c.answered(p.QoS) {
			return
		}
	}
}

// answered reads what answers a PUBLISH, without failing from its goroutine.
func (c *tcpClient) answered(qos byte) bool {
	got, err := c.read()
	if err == nil && qos == 2 {
		c.write([]byte{byte(packet.PUBREL)<<4 | 2, 2, got[2], got[3]})
		_, err = c.read()
	}
	if err != nil {
		c.t.Error(err)
	}
	return err == nil
}

// checkOrder reads n messages and holds the numbers of each topic and QoS of
// sending against their order.
func (c *tcpClient) checkOrder(n int) {
	last := make(map[string]int)
	for range n {
		p := c.nextPublish()
		i, err := strconv.Atoi(string(p.Payload))
		if err != nil {
			c.t.Error(err)
			return
		}
		key := fmt.Sprint(p.Topic, i%3)
		before, seen := last[key]
		if !seen {
			before = i%3 - 3
		}
		if i != before+3 {
			c.t.Errorf("%s: %d came after %d", p.Topic, i, before)
			return
		}
		last[key] = i
	}
}

// TestSharedAll: each message goes to exactly one of the members, who come and
// go, with and without sessions that stay: none is lost, and none of QoS 2 twice.
func TestSharedAll(t *testing.T) { onDrivers(t, testSharedAll) }

func testSharedAll(t *testing.T, d Driver) {
	const messages = 600
	o := wireOptions()
	o.Driver = d
	o.Queued = Unlimited
	_, addr := serveTCP(t, o)
	anchor := dialTCP(t, addr, "clean id=anchor rm=5", "SUBSCRIBE id=1 f=$share/g/t:q1")
	var mu sync.Mutex
	got := make(map[string]int)
	all := make(chan struct{})
	take := func(p *packet.Publish) {
		mu.Lock()
		defer mu.Unlock()
		if got[string(p.Payload)]++; len(got) == messages {
			select {
			case <-all:
			default:
				close(all)
			}
		}
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for p := anchor.poll(); p != nil; p = anchor.poll() {
			take(p)
		}
	})
	for i := range 3 {
		wg.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				w, err := netDial(addr)
				if err != nil {
					t.Error(err)
					return
				}
				c := &tcpClient{w, t}
				c.send(fmt.Sprintf("CONNECT clean id=m%d rm=2", i))
				c.send("SUBSCRIBE id=1 f=$share/g/t:q1")
				for range 5 { // takes a few, and leaves with others unacknowledged
					c.send("PINGREQ")
					if p := c.poll(); p != nil {
						take(p)
					}
				}
				if round%2 == 0 {
					c.send("UNSUBSCRIBE id=2 f=$share/g/t")
				}
				c.net.Close()
			}
		})
	}
	p := dialTCP(t, addr, "clean id=p")
	for i := range messages {
		p.send(fmt.Sprintf("PUBLISH topic=t payload=%d q=1 id=%d", i, i+1))
		p.next()
	}
	close(stop)
	select {
	case <-all:
	case <-time.After(wirePatience):
		mu.Lock()
		t.Errorf("%d of %d messages came", len(got), messages)
		mu.Unlock()
	}
	anchor.net.Close()
	wg.Wait()
}

// poll returns the next PUBLISH, acknowledged, or nil if a PINGRESP came first
// or the connection has ended.
func (c *tcpClient) poll() *packet.Publish {
	for {
		got, err := c.read()
		if err != nil {
			return nil
		}
		h, _, _ := packet.ParseHeader(got)
		switch h.Type {
		case packet.PINGRESP:
			return nil
		case packet.PUBLISH:
			p := new(packet.Publish)
			if err := p.Decode(c.version, h, got[h.HeaderLen:]); err != nil {
				c.t.Error(err)
				return nil
			}
			c.net.SetWriteDeadline(time.Now().Add(wirePatience))
			c.net.Write((&packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}).Append(nil, c.version))
			return p
		}
	}
}

// TestStress connects, takes over, subscribes, publishes, kicks and leaves at
// random, with hooks that publish; nothing may hang, race or be left over.
func TestStress(t *testing.T) { onDrivers(t, testStress) }

func testStress(t *testing.T, d Driver) {
	before := runtime.NumGoroutine()
	const workers, steps = 8, 2500
	o := wireOptions()
	o.Driver = d
	o.Queued, o.Inflight, o.OutboxBytes = 20, 5, 4<<10
	o.SysInterval = 10 * time.Millisecond
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	go b.Serve(Listener{Name: "tcp", Net: l})
	again := func(turn *Turn) {
		turn.After(true, func() {
			_ = b.Publish(turn, Message{Topic: "x/0", Payload: []byte("made"), Origin: OriginScript}, false)
		})
	}
	if err := b.Register("stress",
		publishFunc(func(ev *PublishEvent) Decision {
			if len(ev.Message.Payload)%7 == 0 {
				again(&ev.Turn)
			}
			return Decision{Verdict: Verdict(len(ev.Message.Payload) % 3)}
		}),
		deliverFunc(func(ev *DeliverEvent) Decision {
			if ev.Message.Topic == "x/1" {
				ev.BeforeWait()
				runtime.Gosched()
			}
			return Decision{}
		}),
		subscribedFunc(func(ev *SubscriptionEvent) { again(&ev.Turn) }),
		disconnectedFunc(func(ev *DisconnectedEvent) { again(&ev.Turn) }),
		droppedFunc(func(ev *DroppedEvent) { again(&ev.Turn) }),
	); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			(&stressor{b: b, addr: l.Addr().String(), rnd: rand.New(rand.NewPCG(7, uint64(w)))}).run(steps)
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), wirePatience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if n := b.metrics.Connected.Load() + b.metrics.Connections.Load(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if n := b.metrics.Panics.Load() + b.metrics.HookPanics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
	deadline := time.Now().Add(wirePatience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// stressor is one client at a time, of a few identifiers that others use too.
type stressor struct {
	b    *Broker
	addr string
	rnd  *rand.Rand
	c    *tcpClient
	done sync.WaitGroup
}

func (s *stressor) run(steps int) {
	defer s.done.Wait()
	for range steps {
		if s.c == nil || s.rnd.IntN(12) == 0 {
			s.connect()
		}
		s.send(s.line())
		if s.rnd.IntN(25) == 0 {
			s.b.Kick("", s.id(), packet.AdministrativeAction, "", "stress")
		}
	}
	s.c.net.Close()
}

func (s *stressor) id() string { return fmt.Sprint("c", s.rnd.IntN(6)) }

// connect leaves the connection there is, with or without DISCONNECT, and makes
// another; what comes on it is acknowledged at random.
func (s *stressor) connect() {
	if s.c != nil {
		if s.rnd.IntN(2) == 0 {
			s.send("DISCONNECT")
		}
		s.c.net.Close()
	}
	nc, err := netDial(s.addr)
	if err != nil {
		panic(err)
	}
	line := fmt.Sprintf("CONNECT id=%s rm=%d expiry=%d will=x/2:bye:q1:delay%d", s.id(), 1+s.rnd.IntN(4), s.rnd.IntN(2)*100, s.rnd.IntN(2))
	if s.rnd.IntN(3) == 0 {
		line += " clean"
	}
	s.c = &tcpClient{wireConn: nc}
	s.send(line)
	seed := s.rnd.Uint64()
	s.done.Go(func() { acknowledgeSome(nc, rand.New(rand.NewPCG(seed, 1))) })
}

func (s *stressor) line() string {
	topic := fmt.Sprint("x/", s.rnd.IntN(4))
	filter := []string{topic, "x/+", "#", "$share/g/" + topic, "$share/g/#"}[s.rnd.IntN(5)]
	switch s.rnd.IntN(8) {
	case 0, 1:
		return fmt.Sprintf("SUBSCRIBE id=%d f=%s:q%d", 1+s.rnd.IntN(9), filter, s.rnd.IntN(3))
	case 2:
		return fmt.Sprintf("UNSUBSCRIBE id=%d f=%s", 1+s.rnd.IntN(9), filter)
	case 3:
		return fmt.Sprintf("PUBREL id=%d", 1+s.rnd.IntN(9))
	default:
		qos := s.rnd.IntN(3)
		line := fmt.Sprintf("PUBLISH topic=%s payload=%s q=%d", topic, strings.Repeat("x", 1+s.rnd.IntN(200)), qos)
		if qos > 0 {
			line += fmt.Sprintf(" id=%d", 1+s.rnd.IntN(9))
		}
		if s.rnd.IntN(5) == 0 {
			line += " retain msgexpiry=1"
		}
		return line
	}
}

// send ignores failures: others take the session, and kick.
func (s *stressor) send(line string) {
	p, _, err := encodeLine(line, packet.V5)
	if err != nil {
		panic(err)
	}
	s.c.net.SetWriteDeadline(time.Now().Add(wirePatience))
	s.c.net.Write(p)
}

func acknowledgeSome(c *wireConn, rnd *rand.Rand) {
	for {
		got, err := c.read()
		if err != nil {
			return
		}
		h, _, _ := packet.ParseHeader(got)
		var answer []byte
		switch h.Type {
		case packet.PUBLISH:
			p := new(packet.Publish)
			if p.Decode(packet.V5, h, got[h.HeaderLen:]) != nil || p.QoS == 0 || rnd.IntN(5) == 0 {
				continue
			}
			answer = (&packet.Ack{Type: packet.PUBACK + packet.Type(p.QoS-1), PacketID: p.PacketID}).Append(nil, packet.V5)
		case packet.PUBREC:
			answer = []byte{byte(packet.PUBREL)<<4 | 2, 2, got[2], got[3]}
		case packet.PUBREL:
			answer = []byte{byte(packet.PUBCOMP) << 4, 2, got[2], got[3]}
		}
		c.net.SetWriteDeadline(time.Now().Add(wirePatience))
		c.net.Write(answer)
	}
}
