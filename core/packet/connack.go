package packet

// lastConnackV3 is the largest CONNACK return code of 3.x (3.1.1, table 3.1).
const lastConnackV3 = 5

// Decode reads the body of a CONNACK.
func (p *Connack) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	flags := r.byte("connect acknowledge flags")
	p.Code = ReasonCode(r.byte("reason code"))
	if v == V31 {
		flags = 0 // "reserved values, not used" (3.1, 3.2)
	}
	p.SessionPresent = flags&1 != 0
	r.readProperties(v, CONNACK, &p.Props)
	switch {
	case r.err != nil:
	case flags > 1:
		r.fail(malformed("reserved connect acknowledge flags are set")) // [MQTT-3.2.2-1]
	case v < V5 && p.Code > lastConnackV3:
		r.fail(malformed("return code is reserved")) // 3.1.1, table 3.1
	case v >= V5 && !p.Code.AllowedIn(CONNACK):
		r.fail(foreignReason(p.Code, CONNACK)) // [MQTT-3.2.2-8]
	case p.SessionPresent && p.Code != Success:
		r.fail(protocolError("session present with a refusal")) // [MQTT-3.2.2-6]
	}
	return r.end()
}

func foreignReason(c ReasonCode, t Type) *Error {
	return protocolError(c.String() + " is not a reason code of " + t.String())
}

func (p *Connack) bodySize(v Version) int {
	n := 1 + 1
	if v >= V5 {
		n += p.Props.wireSize(CONNACK)
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Connack) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet. In 3.x a reason code of MQTT 5 that refuses
// becomes the nearest return code, and 3.1 has no session present.
func (p *Connack) Append(dst []byte, v Version) []byte {
	var flags byte
	if p.SessionPresent && p.Code == Success && v != V31 {
		flags = 1 // 0 with a refusal [MQTT-3.2.2-6]
	}
	code := byte(p.Code)
	if v < V5 && p.Code.IsError() {
		code = p.Code.ConnackV3()
	}
	dst = AppendFixedHeader(dst, CONNACK, 0, p.bodySize(v))
	dst = append(dst, flags, code)
	if v >= V5 {
		dst = p.Props.append(dst, CONNACK)
	}
	return dst
}
