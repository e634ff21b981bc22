package packet

// Decode reads the body of an AUTH. 3.15.2.2.2 makes it a protocol error to omit
// the authentication method and 3.15.2.1 allows a success of no bytes at all,
// which has none: that form passes, any other needs the method.
func (p *Auth) Decode(v Version, _ Header, body []byte) error {
	p.Code = Success
	p.Props.Reset()
	if v < V5 {
		return malformed("packet type 15 is reserved") // 3.1.1, table 2.1
	}
	if len(body) == 0 {
		return nil
	}
	r := reader{buf: body}
	p.Code = ReasonCode(r.byte("reason code"))
	r.readProperties(v, AUTH, &p.Props)
	switch {
	case !p.Code.AllowedIn(AUTH):
		r.fail(foreignReason(p.Code, AUTH)) // [MQTT-3.15.2-1]
	case !p.Props.Has(AuthMethod):
		r.fail(protocolError("AUTH without an authentication method"))
	}
	return r.end()
}

// CheckFrom judges what only one side may send: success comes from the server,
// re-authenticate from the client (table 3-11).
func (p *Auth) CheckFrom(s Sender) error { return checkReason(p.Code, s, AUTH) }

func (p *Auth) bodySize() int {
	if p.Code == Success && p.Props.present(AUTH) == 0 {
		return 0
	}
	return 1 + p.Props.wireSize(AUTH)
}

// Size is the number of bytes that Append appends.
func (p *Auth) Size(Version) int { return packetSize(p.bodySize()) }

// Append appends the whole packet, which exists in MQTT 5 only.
func (p *Auth) Append(dst []byte, _ Version) []byte {
	n := p.bodySize()
	dst = AppendFixedHeader(dst, AUTH, 0, n)
	if n > 0 {
		dst = p.Props.append(append(dst, byte(p.Code)), AUTH)
	}
	return dst
}
