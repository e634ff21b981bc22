package core

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lunamq/core/packet"
)

// sinkConn is a connection that takes everything and says nothing.
type sinkConn struct{ net.Conn }

func (sinkConn) Write(p []byte) (int, error)      { return len(p), nil }
func (sinkConn) SetWriteDeadline(time.Time) error { return nil }
func (sinkConn) Close() error                     { return nil }

// FuzzStream feeds a connection any bytes, cut in two anywhere: it does not
// panic, and nothing of it is left when it has gone but what may be kept.
func FuzzStream(f *testing.F) {
	for _, stream := range wireStreams(f) {
		f.Add(stream, uint(len(stream)/2))
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut uint) {
		b, err := New(wireOptions())
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{
			b: b, listener: &listening{Listener: Listener{Name: "fuzz", Options: &b.o.Listener}}, remote: "fuzz",
			maxPacket: int32(b.o.HandshakePacketSize),
		}
		c.out.b, c.out.sock = b, newNetSocket(&c.out, sinkConn{})
		at := min(cut, uint(len(stream)))
		for _, part := range [][]byte{stream[:at], stream[at:]} {
			if len(part) > 0 && err == nil {
				err = c.takeRound(part)
			}
		}
		if len(c.rest.buf) > len(stream) {
			t.Errorf("%d bytes are kept of %d", len(c.rest.buf), len(stream))
		}
		if err == nil {
			c.lostAlone(io.EOF)
		}
		if n := b.metrics.Panics.Load(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if b.metrics.Connected.Load() != 0 {
			t.Error("still connected")
		}
		b.sessions.each(func(s *session) {
			if s.expiry == 0 {
				t.Errorf("the session of %q is left", s.id())
			}
		})
		b.clock.stop()
		b.deadlines.stop()
	})
}

// wireStreams are what each connection of the wire cases sends, as one stream.
func wireStreams(f *testing.F) (streams [][]byte) {
	f.Helper()
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no wire cases: %v", err)
	}
	for _, file := range files {
		for _, c := range readWireCases(f, file) {
			sent := make(map[string][]byte)
			versions := make(map[string]packet.Version)
			for _, line := range c.lines {
				if line.text[0] != '>' {
					continue
				}
				name, text, _ := strings.Cut(strings.TrimSpace(line.text[1:]), ":")
				v := versions[name]
				if v == 0 {
					v = packet.V5
				}
				p, v, err := encodeLine(strings.TrimSpace(text), v)
				if err != nil {
					f.Fatalf("%s:%d: %v", file, line.number, err)
				}
				sent[name], versions[name] = append(sent[name], p...), v
			}
			for _, stream := range sent {
				streams = append(streams, stream)
			}
		}
	}
	return streams
}
