package packet

import (
	"encoding/binary"
	"slices"
)

// Decode reads the body of a PUBLISH. h comes from ParseHeader, which has judged
// the flags. Topic and Payload are lent.
func (p *Publish) Decode(v Version, h Header, body []byte) error {
	r := reader{buf: body}
	p.Dup = h.Flags&flagDup != 0
	p.QoS = h.Flags >> 1 & 3
	p.Retain = h.Flags&flagRetain != 0
	p.Topic = r.topicName("topic name")
	p.PacketID = 0
	if p.QoS > 0 {
		p.PacketID = r.packetID()
	}
	r.readProperties(v, PUBLISH, &p.Props)
	if p.Topic == "" && !p.Props.Has(TopicAlias) {
		r.fail(protocolError("topic name is empty")) // 3.3.2.1, [MQTT-4.7.3-1]
	}
	p.Payload = r.buf
	return r.verdict()
}

// CheckFrom judges what only one side may send: subscription identifiers come
// from the server alone [MQTT-3.3.4-6].
func (p *Publish) CheckFrom(s Sender) error {
	if s == FromClient && len(p.Props.SubscriptionIDs) > 0 {
		return protocolError("Subscription Identifier from a client")
	}
	return nil
}

func (p *Publish) flags() byte {
	flags := p.QoS << 1
	if p.Dup {
		flags |= flagDup
	}
	if p.Retain {
		flags |= flagRetain
	}
	return flags
}

func (p *Publish) bodySize(v Version) int {
	n := stringSize(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if v >= V5 {
		n += p.Props.wireSize(PUBLISH)
	}
	return n
}

// Size is the number of bytes that Append appends.
func (p *Publish) Size(v Version) int { return packetSize(p.bodySize(v)) }

// Append appends the whole packet.
func (p *Publish) Append(dst []byte, v Version) []byte {
	dst, _ = AppendPublish(dst, v, p)
	return dst
}

// AppendPublish appends the whole packet and says where its packet identifier
// is, counted from the packet's first byte, so that one encoding serves many
// receivers; -1 with QoS 0, which has none [MQTT-2.2.1-2].
func AppendPublish(dst []byte, v Version, p *Publish) (out []byte, idOffset int) {
	dst, idOffset = AppendPublishHead(slices.Grow(dst, p.Size(v)), v, p)
	return append(dst, p.Payload...), idOffset
}

// AppendPublishHead is AppendPublish without the payload, which is what the
// packet ends with.
func AppendPublishHead(dst []byte, v Version, p *Publish) (out []byte, idOffset int) {
	start := len(dst)
	dst = AppendFixedHeader(dst, PUBLISH, p.flags(), p.bodySize(v))
	dst = appendString(dst, p.Topic)
	idOffset = -1
	if p.QoS > 0 {
		idOffset = len(dst) - start
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if v >= V5 {
		dst = p.Props.append(dst, PUBLISH)
	}
	return dst, idOffset
}
