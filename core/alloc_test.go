package core

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestPublishAllocations pins the hot path: what a PUBLISH without rules costs
// from the bytes of a read to the outboxes, in allocations.
func TestPublishAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are not counted under the race detector")
	}
	for _, c := range []struct {
		name    string
		qos     byte
		version packet.Version
		hooks   []any
		filter  packet.FilterOptions
		id      uint32 // of the subscription
		many    int
		most    float64
	}{
		{name: "QoS 0", version: packet.V5, filter: packet.FilterOptions{Filter: "a/#"}, many: 1},
		{name: "QoS 0, 3.1.1", version: packet.V311, filter: packet.FilterOptions{Filter: "a/b"}, many: 1},
		{name: "QoS 0, nobody", version: packet.V5, filter: packet.FilterOptions{Filter: "no"}, many: 1},
		{name: "QoS 0 to fifty", version: packet.V5, filter: packet.FilterOptions{Filter: "+/b"}, many: 50},
		{name: "QoS 0 shared", version: packet.V5, filter: packet.FilterOptions{Filter: "$share/g/a/b"}, many: 3},
		{name: "QoS 0 past a hook for others", version: packet.V5, hooks: []any{allowConnect{}}, filter: packet.FilterOptions{Filter: "a/b"}, many: 1},
		{name: "QoS 0 with an identifier", version: packet.V5, filter: packet.FilterOptions{Filter: "a/b"}, id: 5, many: 2},
		{name: "QoS 0 shared with an identifier", version: packet.V5, filter: packet.FilterOptions{Filter: "$share/g/a/b"}, id: 5, many: 2},
		{name: "QoS 1 to QoS 0", qos: 1, version: packet.V5, filter: packet.FilterOptions{Filter: "a/b"}, many: 1},
		{name: "QoS 1", qos: 1, version: packet.V5, filter: packet.FilterOptions{Filter: "a/b", QoS: 1}, many: 1, most: 2}, // the message that is kept
	} {
		t.Run(c.name, func(t *testing.T) {
			o := wireOptions()
			o.OutboxBytes = math.MaxInt32
			o.Inflight = 1 << 16
			m := newMemoryBroker(t, o, c.hooks...)
			var subs []*conn
			for i := range c.many {
				s := m.connect(c.version, fmt.Sprint("s", i))
				sub := packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{c.filter}}
				if c.id != 0 {
					sub.Props.SubscriptionIDs = []uint32{c.id}
				}
				s.feedAll(t, sub.Append(nil, c.version))
				subs = append(subs, s)
			}
			p := m.connect(c.version, "p")
			in := packet.Publish{Topic: "a/b", Payload: []byte("0123456789"), QoS: c.qos}
			if c.qos > 0 {
				in.PacketID = 7
			}
			bytes := in.Append(nil, c.version)
			ack := (&packet.Ack{Type: packet.PUBACK, PacketID: 1}).Append(nil, c.version)
			r := m.b.newRound()
			got := testing.AllocsPerRun(200, func() {
				if _, err := p.feed(r, bytes); err != nil {
					t.Fatal(err)
				}
				r.drainOutboxes()
				if c.filter.QoS > 0 {
					for _, s := range subs {
						if _, err := s.feed(r, ack); err != nil {
							t.Fatal(err)
						}
					}
				}
			})
			if got > c.most {
				t.Errorf("%v allocations, at most %v are allowed", got, c.most)
			}
		})
	}
}

// TestPublishAllocationsOverTCP pins the same from socket to socket, for each
// driver: what reads, waits and writes allocates nothing either.
func TestPublishAllocationsOverTCP(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are not counted under the race detector")
	}
	onDrivers(t, func(t *testing.T, d Driver) {
		o := wireOptions()
		o.Driver = d
		_, addr := serveTCP(t, o)
		s := dialTCP(t, addr, "clean id=s", "SUBSCRIBE id=1 f=a/+")
		p := dialTCP(t, addr, "clean id=p")
		frame := (&packet.Publish{Topic: "a/b", Payload: []byte("0123456789")}).Append(nil, packet.V5)
		got := make([]byte, len(frame))
		s.net.SetReadDeadline(time.Now().Add(wirePatience))
		once := func() {
			if _, err := p.net.Write(frame); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(s.in, got); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 { // what is made once is made
			once()
		}
		if n := testing.AllocsPerRun(200, once); n > 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// memoryBroker is a broker whose connections are fed by the test.
type memoryBroker struct {
	t testing.TB
	b *Broker
}

func newMemoryBroker(t testing.TB, o Options, hooks ...any) *memoryBroker {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Register("test", hooks...); err != nil {
		t.Fatal(err)
	}
	return &memoryBroker{t, b}
}

// connect makes a connection without a reader, that has been accepted.
func (m *memoryBroker) connect(v packet.Version, id string) *conn {
	m.t.Helper()
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, ours)
	m.t.Cleanup(func() { ours.Close() })
	c := &conn{
		b: m.b, listener: &listening{Listener: Listener{Name: "memory", Options: &m.b.o.Listener}}, remote: "memory",
		maxPacket: 1 << 20,
	}
	c.out.b, c.out.sock = m.b, newNetSocket(&c.out, theirs)
	m.b.pending.Add(1)
	c.feedAll(m.t, (&packet.Connect{Version: v, CleanStart: true, ClientID: id}).Append(nil))
	return c
}

func (c *conn) feedAll(t testing.TB, p []byte) {
	t.Helper()
	r := c.b.newRound()
	defer r.end()
	if n, err := c.feed(r, p); err != nil || n != len(p) {
		t.Fatalf("feed: %d of %d, %v", n, len(p), err)
	}
}

// drainOutboxes forgets what was appended, as if the sockets had taken it.
func (r *round) drainOutboxes() {
	for i, o := range r.own.list {
		o.mu.Lock()
		o.buf, o.flusher = o.buf[:0], nil
		o.mu.Unlock()
		r.own.list[i] = nil
	}
	r.own.list = r.own.list[:0]
}

// BenchmarkPair: one publisher, one subscriber over TCP, one message at a time.
func BenchmarkPair(b *testing.B) {
	for qos := range byte(3) {
		b.Run(fmt.Sprintf("qos%d", qos), func(b *testing.B) {
			_, addr := serveTCP(b, wireOptions())
			s := dialTCP(b, addr, "clean id=s", fmt.Sprintf("SUBSCRIBE id=1 f=t:q%d", qos))
			p := dialTCP(b, addr, "clean id=p")
			m := packet.Publish{Topic: "t", Payload: make([]byte, 100), QoS: qos}
			if qos > 0 {
				m.PacketID = 1
			}
			frame := m.Append(nil, packet.V5)
			b.ReportAllocs()
			for b.Loop() {
				p.write(frame)
				if qos > 0 && !p.answered(qos) {
					b.Fatal("not acknowledged")
				}
				s.nextPublish()
			}
		})
	}
}

// BenchmarkFlood: one publisher to one subscriber over TCP, in batches of 100.
func BenchmarkFlood(b *testing.B) {
	benchmarkMany(b, 1, "t", 1)
}

// BenchmarkFanOut: one publisher to 100 subscribers, in batches of 100.
func BenchmarkFanOut(b *testing.B) {
	benchmarkMany(b, 100, "t", 100)
}

// BenchmarkShared: one publisher to 100 members of one shared subscription.
func BenchmarkShared(b *testing.B) {
	benchmarkMany(b, 100, "$share/g/t", 1)
}

// benchmarkMany sends batches of 100 QoS 0 messages of 100 bytes to n
// subscribers, who get copies of each in all.
func benchmarkMany(b *testing.B, n int, filter string, copies int) {
	const batch = 100
	_, addr := serveTCP(b, wireOptions())
	frame := (&packet.Publish{Topic: "t", Payload: make([]byte, 100)}).Append(nil, packet.V5)
	came := make(chan int, n)
	for i := range n {
		s := dialTCP(b, addr, fmt.Sprint("clean id=s", i), "SUBSCRIBE id=1 f="+filter)
		go func() {
			s.net.SetReadDeadline(time.Time{})
			in := bufio.NewReaderSize(s.net, 64<<10)
			buf := make([]byte, 64<<10)
			for {
				k, err := in.Read(buf)
				if err != nil {
					return
				}
				came <- k
			}
		}()
	}
	p := dialTCP(b, addr, "clean id=p")
	var many []byte
	for range batch {
		many = append(many, frame...)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.write(many)
		for left := batch * copies * len(frame); left > 0; {
			left -= <-came
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch*copies), "ns/delivery")
}
