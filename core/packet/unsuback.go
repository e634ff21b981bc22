package packet

import "encoding/binary"

// Decode reads the body of an UNSUBACK.
func (p *Unsuback) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	p.PacketID = r.packetID()
	p.Codes = p.Codes[:0]
	r.readProperties(v, UNSUBACK, &p.Props)
	if v < V5 {
		return r.end() // 3.1.1, 3.11.3: no payload
	}
	p.Codes = r.readCodes(p.Codes)
	for _, c := range p.Codes {
		if !c.AllowedIn(UNSUBACK) {
			r.fail(foreignReason(c, UNSUBACK)) // [MQTT-3.11.3-2]
			break
		}
	}
	return r.verdict()
}

func (p *Unsuback) bodySize(v Version) int {
	if v < V5 {
		return 2
	}
	return 2 + p.Props.wireSize(UNSUBACK) + len(p.Codes)
}

// Size is the number of bytes that Append appends.
func (p *Unsuback) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet; 3.x leaves the codes out.
func (p *Unsuback) Append(dst []byte, v Version) []byte {
	dst = AppendFixedHeader(dst, UNSUBACK, 0, p.bodySize(v))
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v < V5 {
		return dst
	}
	dst = p.Props.append(dst, UNSUBACK)
	for _, c := range p.Codes {
		dst = append(dst, byte(c))
	}
	return dst
}
