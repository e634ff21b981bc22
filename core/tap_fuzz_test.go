package core

import (
	"io"
	"testing"

	"lunamq/core/packet"
)

// FuzzTappedBytes lets a packet hook make anything of a packet of an accepted
// connection: that ends the connection at the worst, and nothing is left of it.
func FuzzTappedBytes(f *testing.F) {
	for _, stream := range wireStreams(f) {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, made []byte) {
		o := wireOptions()
		o.Packets = true
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Register("test", when(PacketIn, packet.PINGREQ, func(ev *PacketEvent) Decision {
			ev.Bytes = made
			return Decision{}
		}))
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{
			b: b, listener: &listening{Listener: Listener{Name: "fuzz", Options: &b.o.Listener}}, remote: "fuzz",
			maxPacket: int32(b.o.HandshakePacketSize),
		}
		c.out.b, c.out.sock = b, newNetSocket(&c.out, sinkConn{}) // untapped: what goes is not of interest
		c.tap = newTap(c)
		if err := c.takeRound((&packet.Connect{Version: packet.V5, CleanStart: true, ClientID: "a"}).Append(nil)); err != nil {
			t.Fatal(err)
		}
		if c.takeRound([]byte{0xC0, 0}) == nil {
			c.lostAlone(io.EOF)
		}
		if n := b.metrics.Panics.Load(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if b.metrics.Connected.Load() != 0 {
			t.Error("still connected")
		}
		c.tap.close()
		b.clock.stop()
		b.deadlines.stop()
	})
}

// TestPacketLength: packets that we have encoded are told apart, whatever their
// length.
func TestPacketLength(t *testing.T) {
	for _, n := range []int{0, 1, 120, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152} {
		p, _ := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: "t", Payload: make([]byte, n)})
		if got := packetLength(append(p, 0xD0, 0)); got != len(p) {
			t.Errorf("payload of %d bytes: %d, want %d", n, got, len(p))
		}
	}
	for _, p := range [][]byte{{0xD0}, {0xD0, 0x80}, {0xD0, 5, 1}} {
		if got := packetLength(p); got != len(p) {
			t.Errorf("% x: %d, want all of it", p, got)
		}
	}
}
