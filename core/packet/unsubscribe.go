package packet

import "encoding/binary"

// Decode reads the body of an UNSUBSCRIBE. Filters are strings of at least one
// character; whether they are valid is judged elsewhere, filter by filter.
func (p *Unsubscribe) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	p.Filters = reuse(p.Filters)
	p.PacketID = r.packetID()
	r.readProperties(v, UNSUBSCRIBE, &p.Props)
	if len(r.buf) == 0 {
		r.fail(protocolError("UNSUBSCRIBE without a topic filter")) // [MQTT-3.10.3-2]
	}
	for len(r.buf) > 0 {
		p.Filters = append(p.Filters, r.filter())
	}
	return r.verdict()
}

func (p *Unsubscribe) bodySize(v Version) int {
	n := 2
	if v >= V5 {
		n += p.Props.wireSize(UNSUBSCRIBE)
	}
	for _, f := range p.Filters {
		n += stringSize(f)
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Unsubscribe) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet.
func (p *Unsubscribe) Append(dst []byte, v Version) []byte {
	dst = AppendFixedHeader(dst, UNSUBSCRIBE, flagsAtLeastOnce, p.bodySize(v))
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v >= V5 {
		dst = p.Props.append(dst, UNSUBSCRIBE)
	}
	for _, f := range p.Filters {
		dst = appendString(dst, f)
	}
	return dst
}
