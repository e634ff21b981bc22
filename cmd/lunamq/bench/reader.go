package bench

import (
	"encoding/binary"
	"fmt"

	"lunamq/core/packet"
)

// readBuffer is how much one read takes at most: what a loopback socket has
// after a burst of the other side. With many connections it is smaller.
const (
	readBuffer      = 64 << 10
	readBufferMany  = 8 << 10
	manyConnections = 512
)

// sink takes the packets of one connection. What it is handed is lent until it
// returns.
type sink interface {
	// publish is told of the head of a PUBLISH: up to MinSize bytes of its payload.
	publish(qos byte, id uint16, payload []byte, at int64)
	// ack is told of a PUBACK, PUBREC, PUBREL or PUBCOMP, with its reason code.
	ack(t packet.Type, id uint16, code packet.ReasonCode) error
	// answer is told of PINGRESP and SUBACK.
	answer(h packet.Header, body []byte) error
	// flush ends the packets of one read.
	flush(at int64) error
}

// cutter cuts a stream of bytes into packets and looks at no more of each than
// it must.
type cutter struct {
	version packet.Version
	skip    int // bytes of a payload that need not be looked at
}

// feed hands the packets in data to s, and returns how many bytes it has used.
func (c *cutter) feed(data []byte, at int64, s sink) (used int, err error) {
	for {
		if c.skip > 0 {
			n := min(c.skip, len(data)-used)
			c.skip, used = c.skip-n, used+n
		}
		n, err := c.next(data[used:], at, s)
		if n == 0 || err != nil {
			return used, err
		}
		used += n
	}
}

// next hands one packet to s; 0 says that more bytes are needed.
func (c *cutter) next(data []byte, at int64, s sink) (int, error) {
	h, ok, err := packet.ParseHeader(data)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, nil
	}
	if h.Type == packet.PUBLISH {
		return c.publish(h, data, at, s)
	}
	if len(data) < h.Size {
		return 0, nil
	}
	return h.Size, c.other(h, data[h.HeaderLen:h.Size], s)
}

// publish hands on the head of a PUBLISH. The rest of the payload is skipped
// when it comes.
func (c *cutter) publish(h packet.Header, data []byte, at int64, s sink) (int, error) {
	body := data[h.HeaderLen:min(h.Size, len(data))]
	pos, ok := payloadAt(body, h.Flags>>1&3, c.version)
	head := min(MinSize, h.Length-pos)
	switch {
	case ok && head >= 0 && len(body) >= pos+head:
	case len(body) == h.Length || ok && head < 0:
		return 0, fmt.Errorf("the broker sends a PUBLISH of %d bytes that ends before its payload", h.Length)
	default:
		return 0, nil
	}
	qos, id := h.Flags>>1&3, uint16(0)
	if qos > 0 {
		id = binary.BigEndian.Uint16(body[2+int(binary.BigEndian.Uint16(body)):])
	}
	s.publish(qos, id, body[pos:pos+head], at)
	c.skip = h.Length - len(body)
	return h.HeaderLen + len(body), nil
}

// payloadAt is where the payload of a PUBLISH begins, behind topic, packet
// identifier and properties (3.3.2); not ok when body ends before that is known.
func payloadAt(body []byte, qos byte, v packet.Version) (pos int, ok bool) {
	if len(body) < 2 {
		return 0, false
	}
	pos = 2 + int(binary.BigEndian.Uint16(body))
	if qos > 0 {
		pos += 2
	}
	if v < packet.V5 {
		return pos, true
	}
	if len(body) <= pos {
		return 0, false
	}
	// the encoding is that of MQTT, which ends after four bytes (1.5.5)
	length, n := binary.Uvarint(body[pos:min(len(body), pos+4)])
	return pos + n + int(length), n > 0
}

// other handles the small packets.
func (c *cutter) other(h packet.Header, body []byte, s sink) error {
	switch h.Type {
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		if len(body) < 2 {
			return fmt.Errorf("%s of %d bytes", h.Type, len(body))
		}
		code := packet.Success
		if len(body) > 2 {
			code = packet.ReasonCode(body[2])
		}
		return s.ack(h.Type, binary.BigEndian.Uint16(body), code)
	case packet.PINGRESP, packet.SUBACK:
		return s.answer(h, body)
	case packet.DISCONNECT:
		var d packet.Disconnect
		if err := d.Decode(c.version, h, body); err != nil {
			return err
		}
		return fmt.Errorf("the broker disconnects: %s", reasonText(d.Code, d.Props.ReasonString))
	}
	return notAsked(h.Type)
}

func notAsked(t packet.Type) error {
	return fmt.Errorf("the broker sends %s, which nobody asked for", t)
}

// acknowledge appends what a receiver answers to a message (4.3).
func acknowledge(dst []byte, qos byte, id uint16) []byte {
	switch qos {
	case 1:
		return append(dst, byte(packet.PUBACK)<<4, 2, byte(id>>8), byte(id))
	case 2:
		return append(dst, byte(packet.PUBREC)<<4, 2, byte(id>>8), byte(id))
	}
	return dst
}

// release appends PUBREL, with its reserved flags (table 2-2).
func release(dst []byte, id uint16) []byte {
	return append(dst, byte(packet.PUBREL)<<4|2, 2, byte(id>>8), byte(id))
}

// complete appends PUBCOMP.
func complete(dst []byte, id uint16) []byte {
	return append(dst, byte(packet.PUBCOMP)<<4, 2, byte(id>>8), byte(id))
}

// readLoop reads a connection until it ends. Packets that are not complete stay
// in the buffer, whose size no head of a packet reaches: patterns are bounded.
func (r *run) readLoop(c *client, s sink, size int) error {
	cut := cutter{version: r.o.Version}
	at := now()
	buf := make([]byte, max(size, len(c.rest)+readBufferMany))
	have := copy(buf, c.rest)
	for {
		used, err := cut.feed(buf[:have], at, s)
		if err == nil {
			err = s.flush(at)
		}
		if err != nil {
			return err
		}
		have = copy(buf, buf[used:have])
		if have == len(buf) {
			return fmt.Errorf("the broker sends a packet whose head is above %d bytes", len(buf))
		}
		n, err := c.conn.Read(buf[have:])
		if n == 0 && err != nil {
			return err
		}
		have, at = have+n, now()
	}
}
