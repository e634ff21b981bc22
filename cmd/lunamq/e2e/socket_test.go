package e2e

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"lunamq/core/packet"
)

// socket is a bare connection that speaks core/packet: a client that can be as
// fast, or as bad, as a test wants it. One goroutine reads, one writes.
type socket struct {
	t       testing.TB
	net     net.Conn
	in      *bufio.Reader
	version packet.Version
}

// serverPacket is what every packet that comes from a server has.
type serverPacket interface {
	Decode(packet.Version, packet.Header, []byte) error
}

// openSocket opens a connection that ends with the test at the latest.
func openSocket(t testing.TB, addr string) *socket {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &socket{t: t, net: c, in: bufio.NewReaderSize(c, 32<<10), version: packet.V5}
}

// connectSocket dials, and connects with a clean start and no keep alive.
func connectSocket(t testing.TB, addr string, v packet.Version, id string) *socket {
	t.Helper()
	s := openSocket(t, addr)
	s.connect(&packet.Connect{Version: v, ClientID: id, CleanStart: true})
	return s
}

// connect sends a CONNECT that must be accepted.
func (s *socket) connect(c *packet.Connect) {
	s.t.Helper()
	s.version = c.Version
	s.send(c.Append(nil))
	var ack packet.Connack
	s.expect(packet.CONNACK, &ack)
	if ack.Code != packet.Success {
		s.t.Fatalf("CONNECT of %s: %s", c.ClientID, ack.Code)
	}
}

// subscribe subscribes to filters, all of which must be granted.
func (s *socket) subscribe(qos byte, filters ...string) {
	s.t.Helper()
	sub := packet.Subscribe{PacketID: 1}
	for _, f := range filters {
		sub.Filters = append(sub.Filters, packet.FilterOptions{Filter: f, QoS: qos})
	}
	s.send(sub.Append(nil, s.version))
	var ack packet.Suback
	s.expect(packet.SUBACK, &ack)
	for i, code := range ack.Codes {
		if code.IsError() {
			s.t.Fatalf("SUBSCRIBE %s: %s", filters[i], code)
		}
	}
}

// ping returns when the broker has handled all that was sent before.
func (s *socket) ping() {
	s.t.Helper()
	s.send((&packet.Pingreq{}).Append(nil, s.version))
	s.expect(packet.PINGRESP, &packet.Pingresp{})
}

// send writes bytes that the broker must take.
func (s *socket) send(p []byte) {
	s.t.Helper()
	if err := s.write(p); err != nil {
		s.t.Fatal(err)
	}
}

// write writes bytes that the broker may refuse to take.
func (s *socket) write(p []byte) error {
	s.net.SetWriteDeadline(time.Now().Add(patience))
	_, err := s.net.Write(p)
	return err
}

// expect reads the next packet, which must be of that type.
func (s *socket) expect(want packet.Type, p serverPacket) {
	s.t.Helper()
	h, b, err := s.read()
	switch {
	case err != nil:
		s.t.Fatalf("%s was awaited: %v", want, err)
	case h.Type != want:
		s.t.Fatalf("%s was awaited, %s came: % x", want, h.Type, firstBytes(b))
	}
	if err := p.Decode(s.version, h, b); err != nil {
		s.t.Fatalf("%s: %v", want, err)
	}
}

// message reads the next packet, a PUBLISH, and acknowledges it; of QoS 2 it
// goes the whole way.
func (s *socket) message() packet.Publish {
	s.t.Helper()
	var m packet.Publish
	s.expect(packet.PUBLISH, &m)
	m.Payload = append([]byte(nil), m.Payload...)
	switch m.QoS {
	case 1:
		s.send((&packet.Ack{Type: packet.PUBACK, PacketID: m.PacketID}).Append(nil, s.version))
	case 2:
		s.send((&packet.Ack{Type: packet.PUBREC, PacketID: m.PacketID}).Append(nil, s.version))
		s.expect(packet.PUBREL, &packet.Ack{})
		s.send((&packet.Ack{Type: packet.PUBCOMP, PacketID: m.PacketID}).Append(nil, s.version))
	}
	return m
}

// publish sends a message of QoS 1 and returns the code of its acknowledgement.
func (s *socket) publish(topic string, payload []byte) packet.ReasonCode {
	s.t.Helper()
	s.send((&packet.Publish{Topic: topic, QoS: 1, PacketID: 1, Payload: payload}).Append(nil, s.version))
	var ack packet.Ack
	s.expect(packet.PUBACK, &ack)
	return ack.Code
}

// read reads one packet; the body is valid until the next read.
func (s *socket) read() (packet.Header, []byte, error) {
	s.net.SetReadDeadline(time.Now().Add(patience))
	for n := 2; ; n++ {
		head, err := s.in.Peek(n)
		if err != nil {
			return packet.Header{}, nil, err
		}
		h, ok, err := packet.ParseHeader(head)
		if err != nil {
			return h, nil, err
		}
		if !ok {
			continue
		}
		if h.Size <= s.in.Size() {
			whole, err := s.in.Peek(h.Size)
			if err != nil {
				return h, nil, err
			}
			s.in.Discard(h.Size)
			return h, whole[h.HeaderLen:], nil
		}
		whole := make([]byte, h.Size)
		_, err = io.ReadFull(s.in, whole)
		return h, whole[h.HeaderLen:], err
	}
}

// rest reads until the broker closes the connection, which it must, and returns
// what came before.
func (s *socket) rest() []byte {
	s.t.Helper()
	s.net.SetReadDeadline(time.Now().Add(patience))
	p, err := io.ReadAll(s.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatalf("the connection is not closed; last came % x", firstBytes(p))
	}
	return p
}

// half says that no more will be sent, and leaves the other direction open.
func (s *socket) half() {
	s.t.Helper()
	if err := s.net.(*net.TCPConn).CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
}

func firstBytes(p []byte) []byte { return p[:min(len(p), 64)] }
