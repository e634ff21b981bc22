package core

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lunamq/core/packet"
)

// sink is a socket that takes whatever is written to it, at once.
type sink struct{ socket }

func (sink) write(p, behind []byte) (int, error) { return len(p) + len(behind), nil }

// connectSink makes a connection of 3.1.1 to a sink, subscribed to filters.
func (m *memoryBroker) connectSink(id string, filters ...string) *conn {
	m.t.Helper()
	c := m.connect(packet.V311, id)
	c.out.mu.Lock()
	c.out.sock = sink{c.out.sock}
	c.out.mu.Unlock()
	const atOnce = 1000
	for len(filters) > 0 {
		n := min(len(filters), atOnce)
		s := packet.Subscribe{PacketID: 1}
		for _, f := range filters[:n] {
			s.Filters = append(s.Filters, packet.FilterOptions{Filter: f})
		}
		c.feedAll(m.t, s.Append(nil, c.version))
		filters = filters[n:]
	}
	return c
}

func newSinkBroker(b *testing.B, hooks ...any) *memoryBroker {
	o := wireOptions()
	o.OutboxBytes = math.MaxInt32
	o.Subscriptions = Unlimited
	return newMemoryBroker(b, o, hooks...)
}

// repeat returns what at says for 0 to n-1.
func repeat[T any](n int, at func(i int) T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = at(i)
	}
	return all
}

func publishOf(topic string) []byte {
	return (&packet.Publish{Topic: topic, Payload: make([]byte, 64)}).Append(nil, packet.V311)
}

// feedRead feeds what one read brought. It is not feedAll, whose Helper takes a
// lock and looks at the stack: half of what was measured, and one processor for two.
func (c *conn) feedRead(b *testing.B, p []byte) {
	r := c.b.newRound()
	n, err := c.feed(r, p)
	r.end()
	if err != nil || n != len(p) {
		b.Errorf("feed: %d of %d, %v", n, len(p), err)
	}
}

// benchmarkFeed feeds a connection packets in turn, each a read of its own.
func benchmarkFeed(b *testing.B, c *conn, packets ...[]byte) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.feedRead(b, packets[i])
		if i++; i == len(packets) {
			i = 0
		}
	}
}

// BenchmarkRoute: a QoS 0 message from its bytes to the socket of the one
// receiver it has, beside n filters: of a publisher that repeats its topic, and
// of one that goes through 4096 of them, which no cache holds.
func BenchmarkRoute(b *testing.B) {
	const topics = 4096
	for _, n := range []int{1, 1000, 1_000_000} {
		state := func(i int) string { return fmt.Sprintf("devices/%d/state", i*7919%n) }
		for kind, filter := range map[string]func(i int) string{
			"literal":  state,
			"wildcard": func(i int) string { return fmt.Sprintf("devices/%d/+", i*7919%n) },
		} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				m := newSinkBroker(b)
				m.connectSink("s", repeat(n, filter)...)
				p := m.connectSink("p")
				b.Run("repeated", func(b *testing.B) { benchmarkFeed(b, p, publishOf(state(n/2))) })
				b.Run("changing", func(b *testing.B) {
					benchmarkFeed(b, p, repeat(topics, func(i int) []byte { return publishOf(state(i)) })...)
				})
			})
		}
	}
	b.Run("hashes", func(b *testing.B) { // all of one client, which gets one copy (3.3.5)
		m := newSinkBroker(b)
		m.connectSink("s", repeat(64, func(i int) string { return strings.Repeat("a/", i) + "#" })...)
		p := m.connectSink("p")
		benchmarkFeed(b, p, repeat(topics, func(i int) []byte { return publishOf(strings.Repeat("a/", 64) + fmt.Sprint(i)) })...)
	})
}

// BenchmarkDeliver: a QoS 0 message to the outboxes and sockets of n receivers.
func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newSinkBroker(b)
			for i := range n {
				m.connectSink(fmt.Sprint("s", i), "t")
			}
			benchmarkFeed(b, m.connectSink("p"), publishOf("t"))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
		})
	}
}

// BenchmarkOutbox: n packets are appended and flushed.
func BenchmarkOutbox(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newSinkBroker(b)
			c, p := m.connectSink("s"), publishOf("t")
			r := m.b.newRound()
			defer r.end()
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					if !c.out.append(r, p, nil) {
						b.Fatal("no room")
					}
				}
				r.flush()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
		})
	}
}

// BenchmarkRetainedScan: a subscription that 50 000 retained messages match, and
// one that a single one of them does.
func BenchmarkRetainedScan(b *testing.B) {
	const n = 50_000
	m := newSinkBroker(b)
	for i := range n {
		if err := m.b.Publish(nil, Message{Topic: fmt.Sprintf("site/%d/state", i), Payload: make([]byte, 64), Retain: true, Origin: OriginAdmin}, false); err != nil {
			b.Fatal(err)
		}
	}
	c := m.connectSink("s")
	for filter, matches := range map[string]int64{"site/#": n, "site/+/state": n, "site/777/#": 1} {
		b.Run(strings.ReplaceAll(filter, "/", "."), func(b *testing.B) {
			s := packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: filter}}}
			request := s.Append(nil, packet.V311)
			before := m.b.metrics.MessagesSent.Load()
			b.ReportAllocs()
			for b.Loop() {
				c.feedRead(b, request)
			}
			if sent := m.b.metrics.MessagesSent.Load() - before; sent != matches*int64(b.N) {
				b.Fatalf("%d messages were sent, not %d", sent, matches*int64(b.N))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(int64(b.N)*matches), "ns/message")
		})
	}
}

// unconcerned wants no topic.
type unconcerned struct{ publishFunc }

func (unconcerned) WantsPublish(string) bool { return false }

// BenchmarkHooks: what hooks that have no opinion add to a QoS 0 message.
func BenchmarkHooks(b *testing.B) {
	publish := publishFunc(func(*PublishEvent) Decision { return Decision{} })
	access := accessFunc(func(*AccessEvent) Decision { return Decision{} })
	for _, c := range []struct {
		name  string
		hooks []any
	}{
		{"none", nil},
		{"1 publish", []any{publish}},
		{"10 publish", repeat(10, func(int) any { return publish })},
		{"10 publish that do not want it", repeat(10, func(int) any { return unconcerned{publish} })},
		{"1 access", []any{access}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := newSinkBroker(b, c.hooks...)
			m.connectSink("s", "t")
			benchmarkFeed(b, m.connectSink("p"), publishOf("t"))
		})
	}
}

// BenchmarkPairsInMemory: as many pairs as processors, without sockets: what
// they hold each other up by is the broker's own. With -cpu 1,2 the throughput
// of two processors is to be at least 1.4 times that of one: measured 1.5 to 2.0. Pairs
// are taken that were not made one after the other: connections that lie side by side
// share a cache line, and two processors that serve none but such two were at 0.9 to
// 1.7. To keep them apart would cost each idle client 32 bytes.
func BenchmarkPairsInMemory(b *testing.B) {
	m := newSinkBroker(b)
	var number atomic.Int64
	pairs := repeat(64, func(i int) *conn {
		m.connectSink(fmt.Sprint("s", i), fmt.Sprint("t/", i))
		return m.connectSink(fmt.Sprint("p", i))
	})
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		i := int(number.Add(1)-1) * 17 % len(pairs)
		p, frame := pairs[i], publishOf(fmt.Sprint("t/", i))
		for pb.Next() {
			p.feedRead(b, frame)
		}
	})
	reportCPU(b, began)
}

// reportCPU reports processor time for each operation. Where two processors
// together need more than 1/0.7 of what one needs, they cannot do 1.4 times as
// many; on a machine that has other things to do, the time it took says less. It
// does not show where they wait for each other.
func reportCPU(b *testing.B, began time.Duration) {
	b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkPairs: pairs over TCP, each with a window of 32 messages that are
// written at once. Clients and broker share the processors.
func BenchmarkPairs(b *testing.B) {
	for driver, d := range drivers() {
		for _, pairs := range []int{5, 50, 500} {
			b.Run(fmt.Sprintf("%s/%d", driver, pairs), func(b *testing.B) { benchmarkPairs(b, d, pairs) })
		}
	}
}

func benchmarkPairs(b *testing.B, d Driver, pairs int) {
	const burst = 32
	o := wireOptions()
	o.Driver = d
	_, addr := serveTCP(b, o)
	var left atomic.Int64
	done := make(chan error, pairs)
	start := make(chan struct{})
	for i := range pairs {
		topic := fmt.Sprint("t/", i)
		s := dialTCP(b, addr, fmt.Sprint("clean v311 id=s", i), "SUBSCRIBE id=1 f="+topic)
		p := dialTCP(b, addr, fmt.Sprint("clean v311 id=p", i))
		frame := publishOf(topic)
		wire, got := []byte(strings.Repeat(string(frame), burst)), make([]byte, burst*len(frame))
		go func() {
			<-start
			for left.Add(-burst) > -burst {
				if _, err := p.net.Write(wire); err != nil {
					done <- err
					return
				}
				if _, err := io.ReadFull(s.in, got); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	b.ReportAllocs()
	left.Store(int64(b.N))
	b.ResetTimer()
	began := cpuTime()
	close(start)
	for range pairs {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, began)
}
