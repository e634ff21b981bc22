package packet

import "encoding/binary"

// Decode reads the body of a SUBACK.
func (p *Suback) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	p.PacketID = r.packetID()
	r.readProperties(v, SUBACK, &p.Props)
	p.Codes = r.readCodes(p.Codes)
	for _, c := range p.Codes {
		if e := checkSubackCode(v, c); e != nil {
			r.fail(e)
			break
		}
	}
	return r.verdict()
}

// readCodes reads the rest as reason codes, of which there is at least one: an
// acknowledgement has one for each topic filter [MQTT-3.8.4-5], [MQTT-3.11.3-1].
func (r *reader) readCodes(codes []ReasonCode) []ReasonCode {
	codes = reuse(codes)
	if len(r.buf) == 0 {
		r.fail(protocolError("acknowledgement without a reason code"))
	}
	for _, b := range r.buf {
		codes = append(codes, ReasonCode(b))
	}
	r.buf = nil
	return codes
}

// checkSubackCode: 3.1 has the granted QoS, 3.1.1 also 0x80 [MQTT-3.9.3-2].
func checkSubackCode(v Version, c ReasonCode) *Error {
	switch {
	case v >= V5 && !c.AllowedIn(SUBACK):
		return foreignReason(c, SUBACK)
	case v < V5 && c > GrantedQoS2 && (v == V31 || c != UnspecifiedError):
		return malformed("return code is reserved")
	}
	return nil
}

func (p *Suback) bodySize(v Version) int {
	n := 2 + len(p.Codes)
	if v >= V5 {
		n += p.Props.wireSize(SUBACK)
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Suback) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet. A refusal is 0x80 in 3.1.1 and, for want of
// one, a granted QoS 0 in 3.1.
func (p *Suback) Append(dst []byte, v Version) []byte {
	dst = AppendFixedHeader(dst, SUBACK, 0, p.bodySize(v))
	dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	if v >= V5 {
		dst = p.Props.append(dst, SUBACK)
	}
	for _, c := range p.Codes {
		dst = append(dst, byte(c.suback(v)))
	}
	return dst
}

func (c ReasonCode) suback(v Version) ReasonCode {
	switch {
	case v >= V5 || !c.IsError():
		return c
	case v == V31:
		return Success
	}
	return UnspecifiedError
}
