package scripting

import (
	"bytes"
	"io"
	"net"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

// BenchmarkPairThroughBroker: one message of a pair over real sockets, without a
// rule, with one that no topic matches, and with one that prefixes each topic and
// extends each payload.
func BenchmarkPairThroughBroker(b *testing.B) {
	for _, c := range []struct{ name, source, received string }{
		{"no rule", ``, "pair/x"},
		{"filter does not match", `mqtt.on("publish", "other/#", function(m) m.topic = "new/" .. m.topic end)`, "pair/x"},
		{"empty rule", `mqtt.on("publish", function() end)`, "pair/x"},
		{"prefix and extend", `mqtt.on("publish", function(m) m.topic = "new/" .. m.topic m.payload = m.payload .. "more" end)`, "new/pair/x"},
	} {
		b.Run(c.name, func(b *testing.B) {
			addr := serve(b, c.source)
			payload := bytes.Repeat([]byte("x"), 64)
			in, out := dial(b, addr, "publisher"), dial(b, addr, "subscriber")
			subscribe := packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: c.received}}}
			roundTrip(b, out, subscribe.Append(nil, packet.V311), 5)
			sent, received := packet.Publish{Topic: "pair/x", Payload: payload}, packet.Publish{Topic: c.received, Payload: payload}
			if c.received != sent.Topic {
				received.Payload = append(received.Payload, "more"...)
			}
			size := len(received.Append(nil, packet.V311))
			const batch = 32
			wire := bytes.Repeat(sent.Append(nil, packet.V311), batch)
			answers := make([]byte, batch*size)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				roundTrip(b, in, wire, 0)
				if _, err := io.ReadFull(out, answers); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// serve starts a broker with rules, and returns its address.
func serve(b *testing.B, source string) string {
	b.Helper()
	broker, err := core.New(core.DefaultOptions())
	must(b, err)
	r := newRig(b, map[string]string{"10.lua": source})
	e := New(broker, Options{Dir: r.options.Dir})
	must(b, e.Start(b.Context()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	go broker.Serve(core.Listener{Name: "main", Net: l})
	b.Cleanup(func() {
		l.Close()
		broker.Close()
		e.Stop(b.Context())
	})
	return l.Addr().String()
}

// dial connects a client of 3.1.1.
func dial(b *testing.B, addr, id string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	must(b, err)
	b.Cleanup(func() { c.Close() })
	connect := packet.Connect{Version: packet.V311, ClientID: id, CleanStart: true}
	roundTrip(b, c, connect.Append(nil), 4)
	return c
}

// roundTrip writes, and reads an answer of n bytes.
func roundTrip(b *testing.B, c net.Conn, request []byte, n int) {
	b.Helper()
	if _, err := c.Write(request); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		b.Fatal(err)
	}
}
