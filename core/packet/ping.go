package packet

// Pingreq is PINGREQ (3.12).
type Pingreq struct{}

// Pingresp is PINGRESP (3.13).
type Pingresp struct{}

// Decode accepts an empty body: there is no variable header and no payload.
func (*Pingreq) Decode(_ Version, _ Header, body []byte) error { return mustBeEmpty(body) }

// Decode accepts an empty body: there is no variable header and no payload.
func (*Pingresp) Decode(_ Version, _ Header, body []byte) error { return mustBeEmpty(body) }

func mustBeEmpty(body []byte) error {
	r := reader{buf: body}
	return r.end()
}

// Size is the number of bytes that Append appends.
func (*Pingreq) Size(Version) int { return packetSize(0) }

// Size is the number of bytes that Append appends.
func (*Pingresp) Size(Version) int { return packetSize(0) }

// Append appends the whole packet.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return AppendFixedHeader(dst, PINGREQ, 0, 0) }

// Append appends the whole packet.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return AppendFixedHeader(dst, PINGRESP, 0, 0) }
