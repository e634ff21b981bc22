package core

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"lunamq/core/packet"
)

// TestLargePayloads: payloads around the sizes at which they go another way, in
// and out, arrive whole and in order between small ones, with each QoS, at a
// receiver that reads and at one that comes late to it.
func TestLargePayloads(t *testing.T) { onDrivers(t, testLargePayloads) }

func testLargePayloads(t *testing.T, d Driver) {
	o := wireOptions()
	o.Driver = d
	o.Listener.MaxPacketSize = 1 << 20
	o.HandshakePacketSize = 1 << 20
	_, addr := startBroker(t, o)
	sizes := []int{1, throughAt - 1, throughAt, 10, throughAt + 1, loopBufferSize, 3, restPooled - 10, restPooled, 100, restPooled + 1, 300_000, 0, 5}
	for qos := range byte(3) {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("QoS %d, late %v", qos, late), func(t *testing.T) {
				out := dialTCP(t, addr, "clean id=out rm=1000", fmt.Sprintf("SUBSCRIBE id=1 f=large:q%d", qos))
				in := dialTCP(t, addr, "clean id=in rm=1000")
				read := make(chan error, 1)
				receive := func() { read <- receiveLarge(out, sizes) }
				if !late {
					go receive()
				}
				var stream []byte
				for i, n := range sizes {
					p := packet.Publish{Topic: "large", Payload: bytes.Repeat([]byte{byte(i + 1)}, n), QoS: qos, PacketID: uint16(i + 1)}
					stream = p.Append(stream, packet.V5)
				}
				if _, err := in.net.Write(stream); err != nil {
					t.Fatal(err)
				}
				if late {
					go receive()
				}
				if err := <-read; err != nil {
					t.Fatal(err)
				}
				in.net.Close()
				out.net.Close()
			})
		}
	}
}

// loopBufferSize is about what a loop of the poller reads at once.
const loopBufferSize = 64 << 10

// receiveLarge reads messages of those sizes, each filled with its number.
func receiveLarge(c *tcpClient, sizes []int) error {
	_ = c.net.SetReadDeadline(time.Now().Add(wirePatience))
	var buf []byte
	for i := 0; i < len(sizes); {
		h, ok, err := packet.ParseHeader(buf)
		if err != nil {
			return err
		}
		if !ok || len(buf) < h.Size {
			more := make([]byte, 8192)
			n, err := c.net.Read(more)
			if err != nil && !(err == io.EOF && n > 0) {
				return fmt.Errorf("after %d messages: %w", i, err)
			}
			buf = append(buf, more[:n]...)
			continue
		}
		if h.Type == packet.PUBLISH {
			var p packet.Publish
			if err := p.Decode(packet.V5, h, buf[h.HeaderLen:h.Size]); err != nil {
				return err
			}
			if want := bytes.Repeat([]byte{byte(i + 1)}, sizes[i]); !bytes.Equal(p.Payload, want) {
				return fmt.Errorf("message %d is not what was sent: %d bytes, want %d", i, len(p.Payload), len(want))
			}
			i++
		}
		buf = buf[h.Size:]
	}
	return nil
}
