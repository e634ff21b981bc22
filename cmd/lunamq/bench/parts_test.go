package bench

import (
	"bytes"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lunamq/core/packet"
	"lunamq/core/topic"
)

// Percentiles are those of the sorted values, to 1/64 of themselves.
func TestHistogramOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(0, 1e6), rapid.Int64Range(0, maxValue))
		values := rapid.SliceOfN(value, 1, 300).Draw(t, "values")
		halves := []*histogram{new(histogram), new(histogram), nil}
		for i, v := range values {
			halves[i%2].add(v, 1)
		}
		var d distribution
		for _, h := range halves {
			d.merge(h)
		}
		slices.Sort(values)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
			want := values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
			got := int64(d.at(q))
			if diff := got - want; diff > want/64+1 || -diff > want/64+1 {
				t.Fatalf("at %g: %d, want %d", q, got, want)
			}
		}
		if d.largest != values[len(values)-1] || d.total != uint64(len(values)) {
			t.Fatalf("%d values up to %d, want %d up to %d", d.total, d.largest, len(values), values[len(values)-1])
		}
	})
}

func TestHistogramBounds(t *testing.T) {
	for _, v := range []int64{-5, 0, maxValue, math.MaxInt64} {
		if b := bucketOf(v); b < 0 || b >= buckets {
			t.Errorf("bucket %d of %d, there are %d", b, v, buckets)
		}
	}
	var d distribution
	if d.latency() != nil || d.at(0.5) != 0 {
		t.Error("a latency of nothing")
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"a/b", "a/b"},
		{"bench/%i", "bench/7"},
		{"%i/%n", "7/42"},
		{"%n%i%n", "42742"},
		{"100%%/%i", "100%/7"},
		{"%%i", "%i"},
		{"", ""},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil || p.text(7, 42) != c.want {
			t.Errorf("%q: %q, %v, want %q", c.pattern, p.text(7, 42), err, c.want)
		}
		if p.isFixed() != !strings.Contains(c.pattern, "%n") || p.has('i') != strings.Contains(strings.ReplaceAll(c.pattern, "%%", ""), "%i") {
			t.Errorf("%q: fixed %v, has %%i %v", c.pattern, p.isFixed(), p.has('i'))
		}
	}
	random, err := parsePattern("a/%r")
	if err != nil || random.isFixed() {
		t.Fatalf("%v, %v", random, err)
	}
	seen := make(map[string]bool)
	for range 10 {
		seen[random.text(0, 0)] = true
	}
	if len(seen) < 2 || !strings.HasPrefix(slices.Sorted(maps.Keys(seen))[0], "a/") {
		t.Errorf("random: %v", seen)
	}
}

// matches agrees with the broker's own.
func TestMatchesOracle(t *testing.T) {
	level := rapid.SampledFrom([]string{"", "a", "b", "+", "$x"})
	rapid.Check(t, func(t *rapid.T) {
		filter := strings.Join(rapid.SliceOfN(level, 1, 4).Draw(t, "filter"), "/") + rapid.SampledFrom([]string{"", "/#"}).Draw(t, "end")
		name := strings.ReplaceAll(strings.Join(rapid.SliceOfN(level, 1, 4).Draw(t, "name"), "/"), "+", "c")
		if filter == "" || name == "" {
			t.Skip()
		}
		if got, want := matches(filter, name), topic.Match(filter, name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", filter, name, got, want)
		}
	})
	if !matches("#", "a/b") || matches("#", "$SYS/a") || matches("+/a", "$SYS/a") {
		t.Error("# and $")
	}
}

// A stream knows what came, twice and late, as a set does.
func TestStreamOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		came, largest := make(map[uint64]bool), int64(-1)
		var twice, late uint64
		for _, n := range rapid.SliceOf(rapid.Uint64Range(0, 30)).Draw(t, "numbers") {
			fresh := s.take(n)
			if fresh == came[n] {
				t.Fatalf("%d is new: %v", n, fresh)
			}
			switch {
			case came[n]:
				twice++
			case int64(n) < largest:
				late++
			}
			came[n], largest = true, max(largest, int64(n))
		}
		if s.received() != uint64(len(came)) || s.duplicated != twice || s.reordered != late {
			t.Fatalf("%d came, %d twice, %d late, want %d, %d, %d", s.received(), s.duplicated, s.reordered, len(came), twice, late)
		}
	})
	s := stream{}
	s.take(2 * maxMissing)
	if s.received() != 1 || len(s.missing) != maxMissing {
		t.Errorf("%d came, %d are remembered as missing", s.received(), len(s.missing))
	}
}

// told is a sink that remembers.
type told struct{ lines []string }

func (s *told) publish(qos byte, id uint16, payload []byte, _ int64) {
	s.lines = append(s.lines, strings.Join([]string{"publish", string('0' + rune(qos)), string('0' + rune(id)), string(payload)}, " "))
}

func (s *told) ack(t packet.Type, id uint16, code packet.ReasonCode) error {
	s.lines = append(s.lines, t.String()+" "+string('0'+rune(id))+" "+code.String())
	return nil
}

func (s *told) answer(h packet.Header, _ []byte) error {
	s.lines = append(s.lines, h.Type.String())
	return nil
}

func (s *told) flush(int64) error { return nil }

// Packets are the same wherever reads cut them.
func TestCutAnywhere(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		var all []byte
		for _, p := range []*packet.Publish{
			{Topic: "a/b", Payload: []byte(strings.Repeat("x", 40))},
			{Topic: "a", QoS: 1, PacketID: 3, Payload: []byte("short")},
			{Topic: "", QoS: 2, PacketID: 4, Payload: bytes.Repeat([]byte("y"), 300)},
			{Topic: "nothing"},
		} {
			p.Props.User = []packet.UserProperty{{Key: "k", Value: strings.Repeat("v", 200)}}
			all = p.Append(all, v)
			all = (&packet.Pingresp{}).Append(all, v)
			all = (&packet.Ack{Type: packet.PUBREL, PacketID: 5, Code: packet.Success}).Append(all, v)
		}
		all = (&packet.Ack{Type: packet.PUBACK, PacketID: 6, Code: packet.NotAuthorized}).Append(all, v)
		code := "not_authorized"
		if v < packet.V5 {
			code = "success"
		}
		want := []string{"publish 0 0 " + strings.Repeat("x", MinSize), "PINGRESP", "PUBREL 5 success",
			"publish 1 3 short", "PINGRESP", "PUBREL 5 success",
			"publish 2 4 " + strings.Repeat("y", MinSize), "PINGRESP", "PUBREL 5 success",
			"publish 0 0 ", "PINGRESP", "PUBREL 5 success", "PUBACK 6 " + code}
		for size := 1; size <= len(all); size++ {
			c, s, have := cutter{version: v}, new(told), []byte(nil)
			for part := range slices.Chunk(all, size) {
				have = append(have, part...)
				used, err := c.feed(have, 0, s)
				if err != nil {
					t.Fatalf("MQTT %s, %d bytes a read: %v", v, size, err)
				}
				have = have[used:]
			}
			if !slices.Equal(s.lines, want) || len(have) != 0 {
				t.Fatalf("MQTT %s, %d bytes a read: %q, want %q; %d bytes left", v, size, s.lines, want, len(have))
			}
		}
	}
}

// FuzzCut: whatever comes, nothing panics, and no more is used than there is.
func FuzzCut(f *testing.F) {
	f.Add([]byte("\x30\x05\x00\x01ax"), true)
	f.Add([]byte("\x32\xff\xff\xff\x7f\xff\xff"), false)
	f.Add([]byte("\xe0\x02\x8b\x00"), true)
	f.Add([]byte("\x30\x04\x00\x00\xff\x01"), true)
	f.Fuzz(func(t *testing.T, data []byte, five bool) {
		c := cutter{version: packet.V311}
		if five {
			c.version = packet.V5
		}
		used, _ := c.feed(data, 0, new(told))
		if used < 0 || used > len(data) || c.skip < 0 {
			t.Fatalf("%d of %d bytes used, %d to skip", used, len(data), c.skip)
		}
	})
}

// testPublisher writes into a pipe that is thrown away, or that is returned.
func testPublisher(t *testing.T, o Options, pattern string) (*publisher, net.Conn) {
	t.Helper()
	topic, err := parseTopic(pattern)
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	r := &run{o: o, id: 77}
	return r.newPublisher(&client{conn: here}, 3, topic), there
}

// What a publisher encodes is what it means, patched or not.
func TestPublisherPackets(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		for qos := range byte(3) {
			for _, pattern := range []string{"a/%i", "a/%i/%n"} {
				o := Options{Version: v, QoS: qos, Size: 30, Burst: 3}
				p, _ := testPublisher(t, o, pattern)
				for round := range 2 {
					if p.each > 0 {
						p.patch(3, 1234)
					} else {
						p.encode(3, 1234)
					}
					rest := p.buf
					for i := range 3 {
						h, ok, err := packet.ParseHeader(rest)
						if !ok || err != nil {
							t.Fatalf("%v, %v", ok, err)
						}
						var m packet.Publish
						if err := m.Decode(v, h, rest[h.HeaderLen:h.Size]); err != nil {
							t.Fatal(err)
						}
						n := uint64(3*round + i)
						topic := p.topic.text(3, n)
						want := stamp{run: 77, publisher: 3, number: n, sent: 1234}
						if m.Topic != topic || m.QoS != qos || len(m.Payload) != 30 || readStamp(m.Payload) != want || qos > 0 && m.PacketID != uint16(n+1) {
							t.Errorf("MQTT %s: %+v, stamp %+v; want %s, %+v", v, m, readStamp(m.Payload), topic, want)
						}
						rest = rest[h.Size:]
					}
					if len(rest) != 0 {
						t.Errorf("%d bytes too many", len(rest))
					}
				}
			}
		}
	}
}

// Nothing is allocated per message, on either side.
func TestAllocations(t *testing.T) {
	for _, pattern := range []string{"a/%i", "a/%i/%n/%r"} {
		for qos := range byte(3) {
			p, there := testPublisher(t, Options{Version: packet.V5, QoS: qos, Size: 64, Burst: 10}, pattern)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for buf := make([]byte, 64<<10); ; {
					if _, err := there.Read(buf); err != nil {
						return
					}
				}
			}()
			p.send(10, 0)
			if n := testing.AllocsPerRun(100, func() { p.send(10, now()) }); n != 0 {
				t.Errorf("%s with QoS %d: %g allocations for 10 messages sent", pattern, qos, n)
			}
			there.Close()
			<-done
		}
	}
	p, _ := testPublisher(t, Options{Version: packet.V5, Size: 64, Burst: 1000}, "a/%i")
	m := &meter{wake: p.wake}
	s := &subscriber{run: p.run, c: p.c, first: 3, streams: []*stream{{meter: m}}}
	c := cutter{version: packet.V5}
	receive := func() {
		if err := p.patch(1000, now()); err != nil {
			t.Fatal(err)
		}
		used, err := c.feed(p.buf, now(), s)
		if err != nil || used != len(p.buf) || s.flush(0) != nil {
			t.Fatalf("%d bytes used, %v", used, err)
		}
	}
	if n := testing.AllocsPerRun(100, receive); n != 0 {
		t.Errorf("%g allocations for 1000 messages received", n)
	}
	if got := m.got.Load(); got != p.sent || s.foreign.Load() != 0 {
		t.Errorf("%d of %d messages arrived", got, p.sent)
	}
}

// A publisher that waits is woken when it has enough, and when it is to stop.
func TestMeter(t *testing.T) {
	m := &meter{wake: make(chan struct{}, 1)}
	var w sync.WaitGroup
	w.Go(func() {
		for range 10_000 {
			m.add(1)
		}
	})
	for target := uint64(1); target <= 10_000; target += 7 {
		if !m.wait(target, nil) || m.got.Load() < target {
			t.Fatalf("%d, want %d", m.got.Load(), target)
		}
	}
	w.Wait()
	stop := make(chan struct{})
	close(stop)
	if m.wait(10_001, stop) {
		t.Error("what never came has come")
	}
}

// The window is never exceeded, and a publisher that waits goes on at half of it.
func TestRoom(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	p := &publisher{window: 10, wake: make(chan struct{}, 1)}
	m := &meter{wake: p.wake}
	p.meters = []*meter{m}
	for _, c := range []struct {
		sent, got, n uint64
		want         bool
	}{
		{0, 0, 10, true}, {1, 0, 10, false}, {10, 0, 1, false}, {10, 1, 1, true}, {100, 95, 5, true}, {100, 94, 5, false},
	} {
		p.sent = c.sent
		m.got.Store(c.got)
		if got := p.room(c.n, stop); got != c.want {
			t.Errorf("sent %d, arrived %d: room for %d: %v", c.sent, c.got, c.n, got)
		}
	}
	p.sent = 10
	m.got.Store(0)
	var w sync.WaitGroup
	w.Go(func() { m.add(5) })
	if !p.room(1, nil) || m.got.Load() != 5 {
		t.Error("half of the window is free, and the publisher waits")
	}
	w.Wait()
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		o     Options
		heard int
		want  int
	}{
		{Options{Size: 64}, 1, 1000}, {Options{Size: 64, QoS: 1}, 1, 50}, {Options{Size: 64}, 10, 100},
		{Options{Size: 65536}, 1, 16}, {Options{Size: 10 << 20}, 1, 1}, {Options{Size: 64, QoS: 2}, 1000, 1},
		{Options{Size: 64, Window: 7}, 10, 7},
	} {
		if got := c.o.window(c.heard); got != c.want {
			t.Errorf("%+v heard %d: window %d, want %d", c.o, c.heard, got, c.want)
		}
	}
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		url    string
		number int
		want   string
	}{
		{"tcp://127.0.0.1:1883", 0, ""}, {"tcp://127.0.0.1:1883", perSource, "127.0.1.1:0"},
		{"tcp://127.0.0.1:1883", 3*perSource + 5, "127.0.1.3:0"}, {"tcp://127.0.0.1:1883", sources * perSource, ""},
		{"tcp://192.0.2.1:1883", perSource, ""}, {"tcp://[::1]:1883", perSource, ""}, {"tcp://localhost", perSource, ""},
	} {
		d, err := newDialer(&Options{URL: c.url, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if a := d.source(c.number); a != nil {
			got = a.String()
		}
		if want := c.want; got != want && canBindLoopback {
			t.Errorf("%s, connection %d: from %q, want %q", c.url, c.number, got, want)
		}
	}
}

func TestTicker(t *testing.T) {
	tick, err := newTicker(50 * time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	began, n := time.Now(), uint64(0)
	for n < 100 {
		k, err := tick.wait()
		if err != nil || k == 0 {
			t.Fatalf("%d ticks, %v", k, err)
		}
		n += k
	}
	if d := time.Since(began); d < time.Duration(n-1)*50*time.Microsecond {
		t.Errorf("%d ticks in %v", n, d)
	}
	tick.stop()
	if _, err := tick.wait(); err == nil {
		t.Error("it ticks on")
	}
}

func TestSettled(t *testing.T) {
	for _, c := range []struct {
		seen []int64
		want bool
	}{
		{[]int64{100 << 20, 100 << 20}, true},
		{[]int64{100 << 20, 100<<20 + 400<<10}, true},
		{[]int64{100 << 20, 101 << 20}, false},
		{[]int64{1 << 20, 1<<20 + 60<<10}, true},
	} {
		if got := isSteady(c.seen); got != c.want {
			t.Errorf("%v: %v", c.seen, got)
		}
	}
}
