package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"lunamq/core/packet"
)

// tightLimits ends hostile clients within the time of a test.
const tightLimits = `
[limits]
handshake_timeout = "3s"
write_timeout = "1s"
outbox_bytes = "64KiB"
`

// TestHostileClients is a healthy pair beside clients that speak MQTT and
// misuse it.
func TestHostileClients(t *testing.T) {
	p := start(t, setup{config: tightLimits})
	healthy := startPair(p)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *program, *pair)
	}{
		{"slow reader", slowReader},
		{"slow reader of QoS 1", slowReaderQoS1},
		{"slow writer", slowWriter},
		{"half-open sockets", halfOpen},
		{"never acknowledges", neverAcknowledges},
		{"pings and does not read", func(t *testing.T, p *program, h *pair) {
			sendsOnly(t, p, h, "pinger", (&packet.Pingreq{}).Append(nil, packet.V5))
		}},
		{"publishes and does not read", func(t *testing.T, p *program, h *pair) {
			m := packet.Publish{Topic: "$SYS/denied", QoS: 1, PacketID: 1} // PUBACK with a reason string
			sendsOnly(t, p, h, "flooder", m.Append(nil, packet.V5))
		}},
		{"reconnect storm", reconnectStorm},
		{"a thousand filters", thousandFilters},
		{"65000 slashes", manySlashes},
		{"huge user properties", hugeProperties},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, p.on(t), healthy)
			healthy.goesOn(t)
		})
	}
	healthy.end(t)
}

// deaf connects a client whose socket takes little and that never reads again.
func deaf(t *testing.T, addr string, v packet.Version, id string) *socket {
	t.Helper()
	s := connectSocket(t, addr, v, id)
	if err := s.net.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	return s
}

// ended waits until the broker has ended a client's connection.
func (p *program) ended(id string) {
	p.t.Helper()
	p.waitFor(`msg="client disconnected" client=` + id + " ")
}

// slowReader: a subscriber of a firehose of QoS 0 that does not read loses
// messages, and then its connection; publisher and pair go on.
func slowReader(t *testing.T, p *program, h *pair) {
	s := deaf(t, p.addr("local"), packet.V311, "slow-reader")
	s.subscribe(0, "firehose/#")
	hose := connectSocket(t, p.addr("local"), packet.V5, "hose")
	m := packet.Publish{Topic: "firehose/x", Payload: bytes.Repeat([]byte("w"), 32<<10)}
	for range 20 {
		for range 40 {
			hose.send(m.Append(nil, packet.V5))
		}
		hose.ping()
		h.goesOn(t)
	}
	p.ended("slow-reader")
}

// slowReaderQoS1: what it does not take is queued, up to the bound of the
// queue, and every message of the publisher is acknowledged, also when its
// only receiver has been disconnected meanwhile.
func slowReaderQoS1(t *testing.T, p *program, h *pair) {
	s := deaf(t, p.addr("local"), packet.V311, "slow-reader-1")
	s.subscribe(1, "firehose/#")
	hose := connectSocket(t, p.addr("local"), packet.V5, "hose")
	payload := bytes.Repeat([]byte("w"), 64<<10)
	taken, gone := 0, false
	for range 300 {
		switch code := hose.publish("firehose/x", payload); {
		case code == packet.Success && !gone:
			taken++
		case code == packet.NoMatchingSubscribers && taken > 0:
			gone = true
		default:
			t.Fatalf("PUBACK with %s after %d messages were taken", code, taken)
		}
	}
	h.goesOn(t)
	p.ended("slow-reader-1")
}

// slowWriter: a CONNECT that comes byte by byte, and a PUBLISH with others'
// messages between its bytes.
func slowWriter(t *testing.T, p *program, h *pair) {
	watcher := connectSocket(t, p.addr("local"), packet.V5, "watcher")
	watcher.subscribe(1, "slowly/#")
	s := openSocket(t, p.addr("local"))
	for _, b := range (&packet.Connect{Version: packet.V5, ClientID: "slow-writer", CleanStart: true}).Append(nil) {
		s.send([]byte{b})
	}
	s.expect(packet.CONNACK, &packet.Connack{})
	m := packet.Publish{Topic: "slowly/x", QoS: 1, PacketID: 7, Payload: []byte("in the end")}
	for _, b := range m.Append(nil, packet.V5) {
		s.send([]byte{b})
		h.awaitMore(t, 1)
	}
	s.expect(packet.PUBACK, &packet.Ack{})
	if got := watcher.message(); string(got.Payload) != "in the end" {
		t.Errorf("%q came", got.Payload)
	}
}

// halfOpen: 1000 connections that say nothing, or half a CONNECT, are closed
// when the time for the handshake is up; others are let in meanwhile.
func halfOpen(t *testing.T, p *program, h *pair) {
	half := (&packet.Connect{Version: packet.V5, ClientID: "half", CleanStart: true}).Append(nil)
	silent := make([]*socket, 1000)
	for i := range silent {
		silent[i] = openSocket(t, p.addr("local"))
		if i%4 == 0 {
			silent[i].send(half[:len(half)/2])
		}
	}
	h.goesOn(t)
	connectSocket(t, p.addr("local"), packet.V5, "meanwhile").ping()
	for _, s := range silent {
		if got := s.rest(); len(got) > 0 {
			t.Fatalf("a connection without CONNECT was sent % x", got)
		}
	}
}

// neverAcknowledges: of QoS 1 and 2 it gets as many as may be in flight, and not
// one more.
func neverAcknowledges(t *testing.T, p *program, h *pair) {
	const inflight, queued = 100, 1000 // [limits], as built in
	s := connectSocket(t, p.addr("local"), packet.V5, "silent")
	s.subscribe(2, "unacknowledged/#")
	publisher := connectSocket(t, p.addr("local"), packet.V311, "patient")
	for i := range inflight + queued + 200 {
		m := packet.Publish{Topic: "unacknowledged/x", QoS: byte(1 + i%2), PacketID: uint16(i + 1)}
		publisher.send(m.Append(nil, packet.V311))
		publisher.expect(packet.PUBACK+packet.Type(i%2), &packet.Ack{})
		if m.QoS == 2 {
			publisher.send((&packet.Ack{Type: packet.PUBREL, PacketID: m.PacketID}).Append(nil, packet.V311))
			publisher.expect(packet.PUBCOMP, &packet.Ack{})
		}
	}
	h.goesOn(t)
	for range inflight {
		s.expect(packet.PUBLISH, &packet.Publish{})
	}
	s.ping() // nothing came between
	s.send((&packet.Disconnect{}).Append(nil, packet.V5))
}

// sendsOnly: a client that sends for ever and does not read is not read from
// any more, and then loses its connection.
func sendsOnly(t *testing.T, p *program, h *pair, id string, one []byte) {
	s := deaf(t, p.addr("local"), packet.V5, id)
	chunk := bytes.Repeat(one, (64<<10)/len(one))
	for {
		err := s.write(chunk)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("neither read from nor closed")
		}
		if err != nil {
			break
		}
	}
	p.ended(id)
}

// reconnectStorm: 200 connections at once with one client identifier. Whoever
// was let in and is not the last is told that its session was taken over.
func reconnectStorm(t *testing.T, p *program, h *pair) {
	connect := (&packet.Connect{Version: packet.V5, ClientID: "storm", CleanStart: true}).Append(nil)
	storm := make([]*socket, 200)
	for i := range storm {
		storm[i] = openSocket(t, p.addr("local"))
		storm[i].send(connect)
	}
	for _, s := range storm {
		s.expect(packet.CONNACK, &packet.Connack{})
	}
	h.goesOn(t)
	last := connectSocket(t, p.addr("local"), packet.V5, "storm")
	for i, s := range storm {
		var d packet.Disconnect
		s.expect(packet.DISCONNECT, &d)
		if d.Code != packet.SessionTakenOver { // 4.13
			t.Fatalf("connection %d: DISCONNECT with %s", i, d.Code)
		}
		if rest := s.rest(); len(rest) > 0 {
			t.Fatalf("connection %d: after DISCONNECT came % x", i, rest)
		}
	}
	last.ping()
}

// thousandFilters: a client whose 1000 filters, all with #, match one topic has
// each message, once or once for each filter [MQTT-3.3.4-2]; the 1001st filter
// is over its quota.
func thousandFilters(t *testing.T, p *program, h *pair) {
	s := connectSocket(t, p.addr("local"), packet.V5, "wild")
	var filters []string
	for bits := range 1000 {
		levels := []string{"wild"}
		for level := range 10 {
			levels = append(levels, string("+a"[bits>>level&1]))
		}
		filters = append(filters, strings.Join(append(levels, "#"), "/"))
	}
	s.subscribe(0, filters...)
	more := packet.Subscribe{PacketID: 2, Filters: []packet.FilterOptions{{Filter: "wild/one/more/#"}}}
	s.send(more.Append(nil, packet.V5))
	var ack packet.Suback
	s.expect(packet.SUBACK, &ack)
	if !slices.Equal(ack.Codes, []packet.ReasonCode{packet.QuotaExceeded}) {
		t.Errorf("the 1001st filter: %s", ack.Codes)
	}
	publisher := connectSocket(t, p.addr("local"), packet.V5, "tame")
	for i := range 50 {
		if code := publisher.publish("wild"+strings.Repeat("/a", 10), fmt.Append(nil, i)); code != packet.Success {
			t.Fatalf("PUBACK with %s", code)
		}
	}
	for next := 0; next < 50; {
		m := s.message()
		switch string(m.Payload) {
		case fmt.Sprint(next):
			next++
		case fmt.Sprint(next - 1): // by another filter
		default:
			t.Fatalf("message %s after %d", m.Payload, next-1)
		}
	}
}

// manySlashes: a topic of 65,001 levels is refused wherever it may stand, with
// the code for it, and the connection stays.
func manySlashes(t *testing.T, p *program, h *pair) {
	slashes := strings.Repeat("/", 65_000)
	s := connectSocket(t, p.addr("local"), packet.V5, "slashes")
	if code := s.publish(slashes, nil); code != packet.TopicNameInvalid {
		t.Errorf("PUBACK with %s", code)
	}
	for _, filter := range []string{slashes, slashes + "#", "$share/g/" + slashes} {
		sub := packet.Subscribe{PacketID: 1, Filters: []packet.FilterOptions{{Filter: filter}, {Filter: "slashes"}}}
		s.send(sub.Append(nil, packet.V5))
		var ack packet.Suback
		s.expect(packet.SUBACK, &ack)
		if !slices.Equal(ack.Codes, []packet.ReasonCode{packet.TopicFilterInvalid, packet.Success}) {
			t.Errorf("SUBACK with %s", ack.Codes)
		}
	}
	will := openSocket(t, p.addr("local"))
	connect := packet.Connect{Version: packet.V5, ClientID: "will", CleanStart: true, HasWill: true, Will: packet.Will{Topic: slashes[:30_000]}}
	will.send(connect.Append(nil))
	var ack packet.Connack
	will.expect(packet.CONNACK, &ack)
	if ack.Code != packet.TopicNameInvalid {
		t.Errorf("CONNACK with %s", ack.Code)
	}
	old := connectSocket(t, p.addr("local"), packet.V311, "slashes-3")
	old.publish(slashes, nil) // acknowledged and dropped: 3.1.1 has no code
	old.ping()
}

// hugeProperties: 60,000 user properties pass whole and in order; a CONNECT
// above [limits] handshake_packet_size is closed.
func hugeProperties(t *testing.T, p *program, h *pair) {
	s := connectSocket(t, p.addr("local"), packet.V5, "properties")
	s.subscribe(0, "properties/#")
	m := packet.Publish{Topic: "properties/x"}
	for i := range 60_000 {
		m.Props.User = append(m.Props.User, packet.UserProperty{Key: "k", Value: fmt.Sprint(i)})
	}
	s.send(m.Append(nil, packet.V5))
	got := s.message()
	if !slices.Equal(got.Props.User, m.Props.User) {
		t.Errorf("%d user properties came, or in another order", len(got.Props.User))
	}
	connect := packet.Connect{Version: packet.V5, ClientID: "large", CleanStart: true}
	connect.Props.User = m.Props.User
	large := openSocket(t, p.addr("local"))
	large.write(connect.Append(nil)) // may be closed before it is through
	if rest := large.rest(); len(rest) > 0 {
		t.Errorf("a CONNECT that is too large is answered with % x", firstBytes(rest))
	}
}
