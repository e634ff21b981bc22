package packet

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// again is a packet, encoded, that is decoded over and over into one value.
type again struct {
	name    string
	version Version
	packet  anyPacket
}

func agains() []again {
	full := Properties{ContentType: "application/json", MessageExpiry: 60, CorrelationData: []byte("17")}
	full.Set(ContentType)
	full.Set(MessageExpiry)
	full.Set(CorrelationData)
	full.User = []UserProperty{{"a", "1"}, {"b", "2"}, {"a", "3"}}
	full.SubscriptionIDs = []uint32{1, 200, 30_000}
	payload := []byte(strings.Repeat("x", 64))
	why := Properties{ReasonString: "why"}
	why.Set(ReasonString)
	return []again{
		{"PUBLISH 3.1.1 QoS 0", V311, &Publish{Topic: "devices/42/temperature", Payload: payload}},
		{"PUBLISH 3.1.1 QoS 1", V311, &Publish{QoS: 1, PacketID: 7, Topic: "devices/42/temperature", Payload: payload}},
		{"PUBLISH 5 QoS 0", V5, &Publish{Topic: "devices/42/temperature", Payload: payload}},
		{"PUBLISH 5 QoS 2 properties", V5, &Publish{QoS: 2, PacketID: 7, Topic: "devices/42/temperature", Payload: payload, Props: full}},
		{"PUBACK 3.1.1", V311, &Ack{Type: PUBACK, PacketID: 7}},
		{"PUBREC 5 reason", V5, &Ack{Type: PUBREC, PacketID: 7, Code: QuotaExceeded, Props: why}},
		{"SUBSCRIBE 5", V5, &Subscribe{PacketID: 7, Filters: []FilterOptions{{Filter: "a/#"}, {Filter: "+/b", QoS: 2}}}},
		{"UNSUBSCRIBE 5", V5, &Unsubscribe{PacketID: 7, Filters: []string{"a/#", "+/b"}}},
		{"PINGREQ", V311, new(Pingreq)},
		{"DISCONNECT 5", V5, &Disconnect{Code: DisconnectWithWill}},
	}
}

func TestNoAllocations(t *testing.T) {
	for _, a := range agains() {
		t.Run(a.name, func(t *testing.T) {
			buf := a.packet.Append(nil, a.version)
			into := newPacket(Type(buf[0] >> 4))
			decode := func() {
				h, _, err := ParseHeader(buf)
				if err == nil {
					err = into.Decode(a.version, h, buf[h.HeaderLen:])
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			decode() // the slices grow once
			if n := testing.AllocsPerRun(100, decode); n != 0 {
				t.Errorf("decoding allocates %v times", n)
			}
			out := make([]byte, 0, 512)
			if n := testing.AllocsPerRun(100, func() { out = into.Append(out[:0], a.version) }); n != 0 {
				t.Errorf("encoding allocates %v times", n)
			}
			if string(out) != string(buf) {
				t.Errorf("encoded % x, want % x", out, buf)
			}
		})
	}
}

// TestAppendPublishGrowsOnce: room for a whole PUBLISH is made at once.
func TestAppendPublishGrowsOnce(t *testing.T) {
	p := &Publish{Topic: "a/b", Payload: make([]byte, 100_000)}
	var sink []byte
	once := testing.AllocsPerRun(10, func() { sink = slices.Grow([]byte(nil), p.Size(V5)) })
	if n := testing.AllocsPerRun(10, func() { sink, _ = AppendPublish(nil, V5, p) }); n != once {
		t.Errorf("%v allocations, %v for room alone", n, once)
	}
	if len(sink) != p.Size(V5) {
		t.Errorf("%d bytes, want %d", len(sink), p.Size(V5))
	}
}

// TestAnnouncedLength: lengths that were announced and did not come cost nothing.
func TestAnnouncedLength(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Version
		buf  []byte
	}{
		{"remaining length", V5, []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}},
		{"topic", V5, []byte{0x30, 0x03, 0xFF, 0xFF, 'a'}},
		{"properties", V5, []byte{0x30, 0x07, 0x00, 0x01, 'a', 0xFF, 0xFF, 0xFF, 0x7F}},
		{"user property", V5, []byte{0x30, 0x07, 0x00, 0x01, 'a', 0x03, 0x26, 0xFF, 0xFF}},
		{"filter", V311, []byte{0x82, 0x05, 0x00, 0x01, 0xFF, 0xFF, 'a'}},
	} {
		var before, after runtime.MemStats
		const runs = 100
		runtime.ReadMemStats(&before)
		for range runs {
			if p, _, _ := decodeOne(c.v, FromClient, c.buf); p != nil {
				t.Errorf("%s: decoded", c.name)
			}
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / runs; n > 2048 { // the packet, the error, a slice's first element
			t.Errorf("%s: %d bytes allocated", c.name, n)
		}
	}
}

// TestManyUserProperties: their number is bounded by the packet's size alone and
// each costs the same; what grew for them is let go (CVE-2021-41039 is the price
// of comparing each with all before it: this would take minutes).
func TestManyUserProperties(t *testing.T) {
	const n = 400_000
	big := &Publish{Topic: "a", Props: Properties{User: make([]UserProperty, n)}}
	buf := big.Append(nil, V5)
	var p Publish
	decodeInto(t, &p, V5, buf)
	if len(p.Props.User) != n {
		t.Fatalf("%d user properties, want %d", len(p.Props.User), n)
	}
	decodeInto(t, &p, V5, (&Publish{Topic: "a"}).Append(nil, V5))
	if len(p.Props.User) != 0 || cap(p.Props.User) > keptItems {
		t.Errorf("%d user properties, room for %d kept", len(p.Props.User), cap(p.Props.User))
	}
}

func decodeInto(tb testing.TB, p anyPacket, v Version, buf []byte) {
	tb.Helper()
	h, ok, err := ParseHeader(buf)
	if err != nil || !ok {
		tb.Fatal(ok, err)
	}
	if err := p.Decode(v, h, buf[h.HeaderLen:h.Size]); err != nil {
		tb.Fatal(err)
	}
}

// TestReuse: a value that held another packet decodes as a fresh one does.
func TestReuse(t *testing.T) {
	cases := validCases(t)
	reused := make(map[Type]anyPacket)
	for _, order := range []func(){func() {}, func() { slices.Reverse(cases) }, func() { slices.Reverse(cases) }} {
		order()
		for _, c := range cases {
			h, _, _ := ParseHeaderV31(c.bytes)
			if reused[h.Type] == nil {
				reused[h.Type] = newPacket(h.Type)
			}
			p := reused[h.Type]
			if err := p.Decode(c.version, h, c.bytes[h.HeaderLen:]); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got := "= " + render(p); got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, a := range agains() {
		b.Run(a.name, func(b *testing.B) {
			buf := a.packet.Append(nil, a.version)
			into := newPacket(Type(buf[0] >> 4))
			b.ReportAllocs()
			for b.Loop() {
				h, _, _ := ParseHeader(buf)
				if err := into.Decode(a.version, h, buf[h.HeaderLen:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, a := range agains() {
		b.Run(a.name, func(b *testing.B) {
			out := make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				out = a.packet.Append(out[:0], a.version)
			}
		})
	}
}

// BenchmarkUserProperties shows the price of one, whatever their number.
func BenchmarkUserProperties(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := (&Publish{Topic: "a", Props: Properties{User: make([]UserProperty, n)}}).Append(nil, V5)
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				decodeInto(b, &p, V5, buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/property")
		})
	}
}

// BenchmarkTopicName compares the two ways to look at a topic name; see classify.
func BenchmarkTopicName(b *testing.B) {
	for _, n := range []int{8, 22, 40, 60, 250} {
		topic := strings.Repeat("devices/", 40)[:n]
		b.Run(fmt.Sprintf("bytes/%d", n), func(b *testing.B) {
			for b.Loop() {
				if classifyShort(topic) != 0 {
					b.Fatal("not a plain topic name")
				}
			}
		})
		b.Run(fmt.Sprintf("searches/%d", n), func(b *testing.B) {
			for b.Loop() {
				if classifyLong(topic) != hasHigh || !isText(topic) {
					b.Fatal("not a plain topic name")
				}
			}
		})
	}
}
