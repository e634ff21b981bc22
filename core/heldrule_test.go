package core

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lunamq/core/packet"
)

// holder is a hook that holds whatever client "held…" is about, until it is let go.
type holder struct {
	spins   bool // uses a processor meanwhile
	at      string
	holding chan string // the clients that are held
	free    chan struct{}
	freed   atomic.Bool
}

func newHolder(at string, spins bool) *holder {
	return &holder{at: at, spins: spins, holding: make(chan string, 16), free: make(chan struct{})}
}

func (h *holder) release() {
	if !h.freed.Swap(true) {
		close(h.free)
	}
}

func (h *holder) meet(at, client string) Decision {
	if at != h.at || !strings.HasPrefix(client, "held") {
		return Decision{}
	}
	h.holding <- client
	if !h.spins {
		<-h.free
	}
	for !h.freed.Load() { // as a rule that computes
	}
	return Decision{}
}

func (h *holder) OnConnect(ev *ConnectEvent) Decision     { return h.meet("connect", ev.ClientID) }
func (h *holder) OnPublish(ev *PublishEvent) Decision     { return h.meet("publish", ev.Client.ID) }
func (h *holder) OnSubscribe(ev *SubscribeEvent) Decision { return h.meet("subscribe", ev.Client.ID) }
func (h *holder) OnDeliver(ev *DeliverEvent) Decision     { return h.meet("deliver", ev.Client.ID) }
func (h *holder) WantsDeliver(string) bool                { return h.at == "deliver" }

// TestHeldRulesHoldUpNobodyElse: while rules wait or compute for some clients,
// others that were there before, and others that come, go about their business;
// and when the rules have ended, so do the first.
func TestHeldRulesHoldUpNobodyElse(t *testing.T) {
	onDrivers(t, func(t *testing.T, d Driver) {
		for _, c := range []struct {
			at            string
			before, meets []string // of a client that is to be held: sent and answered, then sent
			after         []string // what it gets when it is let go
		}{
			{"connect", nil, []string{"CONNECT clean id=%s"}, []string{"CONNACK"}},
			{"subscribe", []string{"CONNECT clean id=%s"}, []string{"SUBSCRIBE id=1 f=t"}, []string{"SUBACK id=1 codes=0"}},
			{"publish", []string{"CONNECT clean id=%s"}, []string{"PUBLISH topic=nobody q=1 id=1"}, []string{"PUBACK id=1 code=0x10"}},
			{"deliver", []string{"CONNECT clean id=%s", "SUBSCRIBE id=1 f=own:q1"}, []string{"PUBLISH topic=own payload=x"}, []string{"PUBLISH topic=own payload=x"}},
		} {
			t.Run(c.at+" waits", func(t *testing.T) { testHeld(t, d, newHolder(c.at, false), 4, c.before, c.meets, c.after) })
			t.Run(c.at+" computes", func(t *testing.T) { testHeld(t, d, newHolder(c.at, true), 1, c.before, c.meets, c.after) })
		}
	})
}

func testHeld(t *testing.T, d Driver, h *holder, clients int, before, meets, after []string) {
	o := wireOptions()
	o.Driver = d
	b, addr := serveTCP(t, o)
	t.Cleanup(h.release)
	if err := b.Register("test", h); err != nil {
		t.Fatal(err)
	}
	there := dialTCP(t, addr, "clean id=there", "SUBSCRIBE id=1 f=there")
	var held []*tcpClient
	for i := range clients {
		c := dialRaw(t, addr)
		for _, line := range before {
			c.send(named(line, i))
			c.next()
		}
		for _, line := range meets {
			c.send(named(line, i))
		}
		held = append(held, c)
		select {
		case <-h.holding:
		case <-time.After(wirePatience):
			t.Fatal("the rule was not asked: other clients hold it up")
		}
		there.roundTrip("there")
	}
	came := dialTCP(t, addr, "clean id=came", "SUBSCRIBE id=1 f=came")
	for range 20 {
		there.roundTrip("there")
		came.roundTrip("came")
	}
	h.release()
	for _, c := range held {
		for _, line := range after {
			c.expectPacket(line)
		}
	}
}

// named puts the name of a client that is to be held into a CONNECT.
func named(line string, i int) string {
	return strings.ReplaceAll(line, "%s", fmt.Sprint("held", i))
}

// dialRaw opens a connection and sends nothing.
func dialRaw(t testing.TB, addr string) *tcpClient {
	t.Helper()
	w, err := netDial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.net.Close() })
	return &tcpClient{w, t}
}

// roundTrip publishes to a topic that the client itself subscribes to.
func (c *tcpClient) roundTrip(topic string) {
	c.t.Helper()
	c.send("PUBLISH topic=" + topic + " payload=x")
	c.nextPublish()
}

func (c *tcpClient) expectPacket(line string) {
	c.t.Helper()
	got := c.next()
	want, err := encodeExpected(line, c.version, got)
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("got % x  %s, want %s", got, describePacket(got, c.version), line)
	}
}

// busyHook waits or computes a while for each message of client "slow".
type busyHook struct {
	waits, computes time.Duration
}

func (h busyHook) OnPublish(ev *PublishEvent) Decision {
	if ev.Client.ID == "slow" {
		time.Sleep(h.waits)
		for began := time.Now(); time.Since(began) < h.computes; {
		}
	}
	return Decision{}
}

// BenchmarkPairBesideSlowRules: what a pair, one message at a time, sees of a
// client whose messages meet rules that wait or compute for 20 ms each, one after
// the other.
func BenchmarkPairBesideSlowRules(b *testing.B) {
	const long = 20 * time.Millisecond
	for driver, d := range drivers() {
		for _, c := range []struct {
			name string
			hook busyHook
			slow bool
		}{{"alone", busyHook{}, false}, {"waits", busyHook{waits: long}, true}, {"computes", busyHook{computes: long}, true}} {
			b.Run(driver+"/"+c.name, func(b *testing.B) { benchmarkBeside(b, d, c.hook, c.slow) })
		}
	}
}

func benchmarkBeside(b *testing.B, d Driver, h busyHook, slow bool) {
	o := wireOptions()
	o.Driver = d
	broker, addr := serveTCP(b, o)
	if err := broker.Register("test", h); err != nil {
		b.Fatal(err)
	}
	s := dialTCP(b, addr, "clean id=s", "SUBSCRIBE id=1 f=t")
	p := dialTCP(b, addr, "clean id=p")
	if slow {
		dialTCP(b, addr, "clean id=slow").keepPublishing(b)
	}
	frame := (&packet.Publish{Topic: "t", Payload: make([]byte, 64)}).Append(nil, packet.V5)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		p.write(frame)
		s.nextPublish()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
}

// keepPublishing publishes one QoS 1 message after the other until the benchmark ends.
func (c *tcpClient) keepPublishing(b *testing.B) {
	frame := (&packet.Publish{Topic: "nobody", QoS: 1, PacketID: 1}).Append(nil, packet.V5)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.net.Write(frame); err != nil {
				return
			}
			if _, err := c.read(); err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() {
		c.net.Close()
		<-ended
	})
}
