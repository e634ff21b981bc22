package core

import (
	"bytes"
	"io"
	"net"
	"testing"

	"lunamq/core/packet"
)

// TestLastPacketIsNotReset: a client that is ended while more of it is under
// way still reads why: its socket is not reset.
func TestLastPacketIsNotReset(t *testing.T) { onDrivers(t, testLastPacketIsNotReset) }

func testLastPacketIsNotReset(t *testing.T, d Driver) {
	o := DefaultOptions()
	o.Driver = d
	_, addr := startBroker(t, o)
	stream := (&packet.Connect{Version: packet.V5, CleanStart: true, ClientID: "a"}).Append(nil)
	stream = append(stream, 0x00) // a reserved packet type
	stream = append(stream, make([]byte, 256<<10)...)
	for range 50 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() {
			_, err := c.Write(stream)
			written <- err
		}()
		if err := <-written; err != nil {
			t.Fatalf("the broker did not read on: %v", err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatalf("after % x: %v", got, err)
		}
		if want := []byte{0xE0}; len(got) < 4 || got[0] != 0x20 || !bytes.Contains(got, want) || !bytes.Contains(got, []byte{byte(packet.MalformedPacket)}) {
			t.Fatalf("got % x, want CONNACK and DISCONNECT 0x81", got)
		}
		c.Close()
	}
}
