package packet

import "encoding/binary"

// Decode reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP; h.Type says which.
func (p *Ack) Decode(v Version, h Header, body []byte) error {
	r := reader{buf: body}
	p.Type = h.Type
	p.PacketID = r.packetID()
	p.Code = r.readReason(v, p.Type, &p.Props)
	if !p.Code.AllowedIn(p.Type) {
		r.fail(foreignReason(p.Code, p.Type)) // [MQTT-3.4.2-1] and its likes
	}
	return r.end()
}

// readReason reads the reason code and the properties with which acknowledgements
// and DISCONNECT end. Either may be left out, from the end (3.4.2.1, 3.4.2.2.1,
// 3.14.2.1, 3.14.2.2.1), and 3.x has neither.
func (r *reader) readReason(v Version, t Type, p *Properties) ReasonCode {
	code := Success
	if v >= V5 && len(r.buf) > 0 {
		code = ReasonCode(r.byte("reason code"))
	}
	if len(r.buf) > 0 {
		r.readProperties(v, t, p)
	} else {
		p.Reset()
	}
	return code
}

// CheckFrom judges what only one side may send: "no matching subscribers" comes
// from the server alone (3.4.2.1, 3.5.2.1).
func (p *Ack) CheckFrom(s Sender) error { return checkReason(p.Code, s, p.Type) }

func checkReason(c ReasonCode, s Sender, t Type) error {
	if c.AllowedFrom(s, t) {
		return nil
	}
	return protocolError(c.String() + " in a " + t.String() + " from a " + s.String())
}

// bodySize: a bare success takes 2 bytes, a bare code 3 (3.4.2.1, 3.4.2.2.1).
func (p *Ack) bodySize(v Version) int {
	switch {
	case v < V5:
		return 2
	case p.Props.present(p.Type) != 0:
		return 2 + 1 + p.Props.wireSize(p.Type)
	case p.Code != Success:
		return 2 + 1
	}
	return 2
}

// Size is the number of bytes that Append appends.
func (p *Ack) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet, in the shortest form it has.
func (p *Ack) Append(dst []byte, v Version) []byte {
	n := p.bodySize(v)
	dst = AppendFixedHeader(dst, p.Type, fixedFlags(p.Type), n)
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if n > 2 {
		dst = append(dst, byte(p.Code))
	}
	if n > 3 {
		dst = p.Props.append(dst, p.Type)
	}
	return dst
}
