package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"lunamq/core/packet"
)

// patientHandshake makes a test hang, and fail, where the broker would only
// have closed a connection because its time was up.
const patientHandshake = "[limits]\nhandshake_timeout = \"1h\"\n"

// TestHostilePackets sends every malformed packet of the wire cases, as the
// first of a connection and after CONNECT, next to a healthy pair: the
// connection is closed, in 5 with the code.
func TestHostilePackets(t *testing.T) {
	p := start(t, setup{config: patientHandshake})
	healthy := startPair(p)
	sent := 0
	for _, c := range wireCases(t) {
		if c.code == packet.Success {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			malformedFirst(t, p.addr("local"), c)
			malformedLater(t, p.addr("local"), c)
		})
		sent++
	}
	if sent < 100 {
		t.Errorf("only %d malformed packets", sent)
	}
	healthy.end(t)
}

// malformedFirst sends a case before CONNECT. What is no CONNECT is closed
// without a word [MQTT-3.1.0-1]; a CONNECT of 5 is answered with CONNACK
// (4.13.1), one of an unknown version with return code 1 [MQTT-3.1.2-2].
func malformedFirst(t *testing.T, addr string, c wireCase) {
	t.Helper()
	s := openSocket(t, addr)
	s.write(c.bytes) // may fail where the broker has closed already
	answer := s.rest()
	isConnect := packet.Type(c.bytes[0]>>4) == packet.CONNECT
	switch {
	case !isConnect || c.version != packet.V5 && c.code != packet.UnsupportedProtocolVersion:
		if len(answer) != 0 {
			t.Errorf("as the first packet: answered with % x", answer)
		}
	case len(answer) == 0:
		// the version was not understood, or the fixed header is wrong
	default:
		checkRefusal(t, answer, c)
	}
}

func checkRefusal(t *testing.T, answer []byte, c wireCase) {
	t.Helper()
	var ack packet.Connack
	h, ok, err := packet.ParseHeader(answer)
	if err != nil || !ok || h.Type != packet.CONNACK || h.Size != len(answer) {
		t.Fatalf("as the first packet: answered with % x", answer)
	}
	if c.code == packet.UnsupportedProtocolVersion {
		if string(answer) != "\x20\x02\x00\x01" {
			t.Errorf("an unknown version is answered with % x", answer)
		}
		return
	}
	if err := ack.Decode(packet.V5, h, answer[h.HeaderLen:]); err != nil || ack.Code != c.code {
		t.Errorf("as the first packet: CONNACK %s, %v; want %s", ack.Code, err, c.code)
	}
}

// malformedLater sends a case after CONNECT.
func malformedLater(t *testing.T, addr string, c wireCase) {
	t.Helper()
	s := connectSocket(t, addr, c.version, "malformed")
	s.write(c.bytes)
	answer := s.rest()
	if c.version != packet.V5 {
		if len(answer) != 0 { // 3.x has no DISCONNECT from a server
			t.Errorf("after CONNECT: answered with % x", answer)
		}
		return
	}
	var d packet.Disconnect
	h, ok, err := packet.ParseHeader(answer)
	if err != nil || !ok || h.Type != packet.DISCONNECT || h.Size != len(answer) {
		t.Fatalf("after CONNECT: answered with % x", answer)
	}
	if err := d.Decode(packet.V5, h, answer[h.HeaderLen:]); err != nil {
		t.Fatal(err)
	}
	second := packet.Type(c.bytes[0]>>4) == packet.CONNECT && d.Code == packet.ProtocolError // whatever is in it [MQTT-3.1.0-2]
	if d.Code != c.code && !second {
		t.Errorf("after CONNECT: DISCONNECT %s, want %s", d.Code, c.code)
	}
}

// TestHostileStreams sends random bytes and streams that end in the middle.
func TestHostileStreams(t *testing.T) {
	p := start(t, setup{config: patientHandshake})
	addr, healthy := p.addr("local"), startPair(p)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		s := openSocket(t, addr)
		if i%2 == 1 {
			s.connect(&packet.Connect{Version: packet.V31 + packet.Version(i%3), ClientID: "random", CleanStart: true})
		}
		noise := make([]byte, 1+random.IntN(2000))
		for j := range noise {
			noise[j] = byte(random.Uint32())
		}
		if s.write(noise) == nil {
			s.net.(interface{ CloseWrite() error }).CloseWrite() // may be closed already
		}
		s.rest()
	}
	healthy.goesOn(t)
	watcher := connectSocket(t, addr, packet.V5, "watcher")
	watcher.subscribe(2, "cut/#")
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		for qos := range byte(3) {
			m := packet.Publish{Topic: "cut/short", QoS: qos, Payload: []byte("gone"), PacketID: uint16(min(qos, 1))}
			cut(t, addr, v, m.Append(nil, v))
		}
		connect := packet.Connect{Version: v, ClientID: "cut", CleanStart: true, HasWill: true, Will: packet.Will{Topic: "cut/will", Payload: []byte("gone")}}
		whole := connect.Append(nil)
		for n := range whole {
			s := openSocket(t, addr)
			s.send(whole[:n])
			s.half()
			if got := s.rest(); len(got) > 0 {
				t.Fatalf("a CONNECT cut to %d bytes is answered with % x", n, got)
			}
		}
	}
	connectSocket(t, addr, packet.V5, "whole").publish("cut/whole", nil)
	if m := watcher.message(); m.Topic != "cut/whole" {
		t.Errorf("a message that was cut short came: %s %q", m.Topic, m.Payload)
	}
	healthy.end(t)
}

// cut sends a packet cut at each byte, each on a connection of its own.
func cut(t *testing.T, addr string, v packet.Version, whole []byte) {
	t.Helper()
	for n := range whole {
		s := connectSocket(t, addr, v, fmt.Sprintf("cut-%d", n))
		s.send(whole[:n])
		s.half()
		if got := s.rest(); len(got) > 0 {
			t.Fatalf("a PUBLISH cut to %d bytes is answered with % x", n, got)
		}
	}
}
