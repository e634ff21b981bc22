package packet

// Decode reads the body of a DISCONNECT.
func (p *Disconnect) Decode(v Version, _ Header, body []byte) error {
	r := reader{buf: body}
	p.Code = r.readReason(v, DISCONNECT, &p.Props)
	if !p.Code.AllowedIn(DISCONNECT) {
		r.fail(foreignReason(p.Code, DISCONNECT)) // [MQTT-3.14.2-1]
	}
	return r.end()
}

// CheckFrom judges what only one side may send: the codes of table 3-10, the
// session expiry of the client [MQTT-3.14.2-2], the server reference of the
// server (3.14.2.2.5).
func (p *Disconnect) CheckFrom(s Sender) error {
	switch {
	case s == FromServer && p.Props.Has(SessionExpiry):
		return protocolError("Session Expiry Interval from the server")
	case s == FromClient && p.Props.Has(ServerReference):
		return protocolError("Server Reference from a client")
	}
	return checkReason(p.Code, s, DISCONNECT)
}

// bodySize: a bare 0x00 takes no byte, a bare code one (3.14.2.1, 3.14.2.2.1).
func (p *Disconnect) bodySize(v Version) int {
	switch {
	case v < V5:
		return 0
	case p.Props.present(DISCONNECT) != 0:
		return 1 + p.Props.wireSize(DISCONNECT)
	case p.Code != Success:
		return 1
	}
	return 0
}

// Size is the number of bytes that Append appends.
func (p *Disconnect) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet, in the shortest form it has.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	n := p.bodySize(v)
	dst = AppendFixedHeader(dst, DISCONNECT, 0, n)
	if n > 0 {
		dst = append(dst, byte(p.Code))
	}
	if n > 1 {
		dst = p.Props.append(dst, DISCONNECT)
	}
	return dst
}
