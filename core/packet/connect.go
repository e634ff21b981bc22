package packet

import "encoding/binary"

// The bits of the connect flags (3.1.2.3).
const (
	connectReserved = 0x01
	connectClean    = 0x02
	connectWill     = 0x04
	connectWillQoS  = 0x18
	connectRetain   = 0x20
	connectPassword = 0x40
	connectUsername = 0x80
)

// Decode reads the body of a CONNECT. Version is set as soon as name and level
// of the protocol are known, so that a later error can be answered in the
// client's version; it is 0 with UnsupportedProtocolVersion. Client identifiers
// that are empty, or too long for 3.1, pass: their answer is a CONNACK.
func (p *Connect) Decode(body []byte) error {
	*p = Connect{Props: p.Props, Will: Will{Props: p.Will.Props}}
	r := reader{buf: body}
	p.readVersion(&r)
	flags := r.byte("connect flags")
	p.checkFlags(&r, flags)
	p.CleanStart = flags&connectClean != 0
	p.KeepAlive = r.uint16("keep alive")
	r.readProperties(p.Version, CONNECT, &p.Props)
	p.ClientID = r.string("client identifier")
	p.readWill(&r, flags)
	p.readUser(&r, flags)
	return r.end()
}

// readVersion reads name and level of the protocol [MQTT-3.1.2-1], [MQTT-3.1.2-2].
// The level's bit 0x80, by which some bridges announce themselves, is not known
// here and so refused: such a bridge comes again without it.
func (p *Connect) readVersion(r *reader) {
	name, level := r.lent("protocol name"), Version(r.byte("protocol level"))
	switch {
	case r.err != nil:
	case name == "MQTT" && (level == V311 || level == V5), name == "MQIsdp" && level == V31:
		p.Version = level
	default:
		r.fail(&Error{UnsupportedProtocolVersion, "protocol name or level is unknown"})
	}
}

// checkFlags judges the connect flags. In 3.1 the reserved bit is "not used" and
// those of a will that is not there are "disregarded" (3.1, 3.1).
func (p *Connect) checkFlags(r *reader, flags byte) {
	switch {
	case r.err != nil:
	case flags&connectWill != 0 && flags&connectWillQoS == connectWillQoS:
		r.fail(malformed("will QoS is 3")) // [MQTT-3.1.2-12]
	case flags&connectPassword != 0 && flags&connectUsername == 0 && p.Version < V5:
		r.fail(malformed("password without a user name")) // 3.1.1 [MQTT-3.1.2-22]
	case p.Version == V31:
	case flags&connectReserved != 0:
		r.fail(malformed("reserved connect flag is set")) // [MQTT-3.1.2-3]
	case flags&connectWill == 0 && flags&(connectWillQoS|connectRetain) != 0:
		r.fail(malformed("will QoS or will retain without a will")) // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
	}
}

func (p *Connect) readWill(r *reader, flags byte) {
	p.Will.Props.Reset()
	p.HasWill = flags&connectWill != 0
	if !p.HasWill {
		return
	}
	p.Will.QoS = flags & connectWillQoS >> 3
	p.Will.Retain = flags&connectRetain != 0
	r.readProperties(p.Version, inWill, &p.Will.Props)
	p.Will.Topic = r.topicName("will topic")
	if p.Will.Topic == "" {
		r.fail(&Error{TopicNameInvalid, "will topic is empty"}) // [MQTT-4.7.3-1]
	}
	p.Will.Payload = r.binary("will payload")
}

// readUser reads user name and password. 3.1 demands that either may be missing
// from the end in spite of its flag: "the Remaining Length field from the fixed
// header takes precedence" (3.1, 3.1, user name and password flags).
func (p *Connect) readUser(r *reader, flags byte) {
	mayMiss := p.Version == V31
	p.HasUsername = flags&connectUsername != 0 && !(mayMiss && len(r.buf) == 0)
	if p.HasUsername {
		p.Username = r.string("user name")
	}
	p.HasPassword = flags&connectPassword != 0 && !(mayMiss && len(r.buf) == 0)
	if p.HasPassword {
		p.Password = r.binary("password")
	}
}

func (p *Connect) protocolName() string {
	if p.Version == V31 {
		return "MQIsdp"
	}
	return "MQTT"
}

func (p *Connect) flags() (flags byte) {
	if p.CleanStart {
		flags |= connectClean
	}
	if p.HasWill {
		flags |= connectWill | p.Will.QoS<<3
		if p.Will.Retain {
			flags |= connectRetain
		}
	}
	if p.HasUsername {
		flags |= connectUsername
	}
	if p.HasPassword {
		flags |= connectPassword
	}
	return flags
}

func (p *Connect) bodySize() int {
	n := stringSize(p.protocolName()) + 1 + 1 + 2 + stringSize(p.ClientID)
	if p.Version >= V5 {
		n += p.Props.wireSize(CONNECT)
	}
	if p.HasWill {
		n += stringSize(p.Will.Topic) + stringSize(p.Will.Payload)
		if p.Version >= V5 {
			n += p.Will.Props.wireSize(inWill)
		}
	}
	if p.HasUsername {
		n += stringSize(p.Username)
	}
	if p.HasPassword {
		n += stringSize(p.Password)
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Connect) Size() int { return packetSize(p.bodySize()) }

// Append appends the whole packet, in its own Version.
func (p *Connect) Append(dst []byte) []byte {
	dst = AppendFixedHeader(dst, CONNECT, 0, p.bodySize())
	dst = appendString(dst, p.protocolName())
	dst = append(dst, byte(p.Version), p.flags())
	dst = binary.BigEndian.AppendUint16(dst, p.KeepAlive)
	if p.Version >= V5 {
		dst = p.Props.append(dst, CONNECT)
	}
	dst = appendString(dst, p.ClientID)
	if p.HasWill {
		if p.Version >= V5 {
			dst = p.Will.Props.append(dst, inWill)
		}
		dst = appendString(dst, p.Will.Topic)
		dst = appendString(dst, p.Will.Payload)
	}
	if p.HasUsername {
		dst = appendString(dst, p.Username)
	}
	if p.HasPassword {
		dst = appendString(dst, p.Password)
	}
	return dst
}
