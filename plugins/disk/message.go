package disk

import (
	"encoding/binary"

	"lunamq/core"
	"lunamq/core/packet"
)

// inlinePayload is the largest payload that lies in the message's own record.
// Larger ones have a record of their own, which counting what waits does not
// read: a start with a million messages that wait reads 1 KiB of each at most.
const inlinePayload = 512

// appendMessage writes a message as a session or the retained messages have it.
// Its weight comes first: counting reads no further.
func appendMessage(dst []byte, m *core.StoredMessage, payload []byte) []byte {
	x := m.Message
	dst = binary.AppendUvarint(dst, uint64(x.Weight()))
	dst = binary.AppendVarint(dst, m.ExpiresAt)
	dst = append(dst, m.QoS)
	dst = binary.AppendUvarint(dst, bits(m.Retain, x.Retain, x.Dup, x.HasPayloadFormat, x.HasExpiry, x.HasContentType, x.HasResponseTopic,
		x.HasCorrelationData, x.Publisher != nil, len(payload) < len(x.Payload)))
	dst = binary.AppendUvarint(dst, uint64(len(m.Identifiers)))
	for _, id := range m.Identifiers {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	dst = appendText(dst, m.Filter)
	dst = appendText(dst, x.Topic)
	dst = append(dst, x.QoS, byte(x.Origin))
	if x.Publisher != nil {
		dst = appendClient(dst, x.Publisher)
	}
	dst = binary.AppendUvarint(dst, uint64(x.PayloadFormat))
	dst = binary.AppendUvarint(dst, uint64(x.Expiry))
	dst = appendText(dst, x.ContentType)
	dst = appendText(dst, x.ResponseTopic)
	dst = appendText(dst, x.CorrelationData)
	dst = binary.AppendUvarint(dst, uint64(len(x.UserProperties)))
	for _, p := range x.UserProperties {
		dst = appendText(appendText(dst, p.Key), p.Value)
	}
	return appendText(dst, payload)
}

// readMessage reads what appendMessage wrote. apart says that the payload lies
// in a record of its own.
func readMessage(r *reader) (m core.StoredMessage, apart bool) {
	x := &core.Message{}
	m.Message = x
	r.uint() // weight
	m.ExpiresAt = r.int()
	m.QoS = byte(r.upTo(2))
	var hasPublisher bool
	r.flags(&m.Retain, &x.Retain, &x.Dup, &x.HasPayloadFormat, &x.HasExpiry, &x.HasContentType, &x.HasResponseTopic,
		&x.HasCorrelationData, &hasPublisher, &apart)
	for range r.count(1) {
		m.Identifiers = append(m.Identifiers, uint32(r.upTo(1<<32-1)))
	}
	m.Filter = r.text()
	x.Topic = r.text()
	x.QoS = byte(r.upTo(2))
	x.Origin = core.Origin(r.upTo(uint64(core.OriginBroker)))
	if hasPublisher {
		x.Publisher = readClient(r)
	}
	x.PayloadFormat = r.byte()
	x.Expiry = uint32(r.upTo(1<<32 - 1))
	x.ContentType = r.text()
	x.ResponseTopic = r.text()
	x.CorrelationData = r.bytes()
	for range r.count(2) {
		x.UserProperties = append(x.UserProperties, packet.UserProperty{Key: r.text(), Value: r.text()})
	}
	x.Payload = r.bytes()
	return m, apart
}

// messageApart is the place of the bit among a message's truths that says that
// the payload lies in a record of its own.
const messageApart = 9

// readApart reads that bit alone.
func readApart(r *reader) (apart bool, err error) {
	r.uint() // weight
	r.int()  // expires
	r.uint() // QoS
	return r.uint()&(1<<messageApart) != 0, r.err
}

// weightOf reads the weight of a message alone.
func weightOf(fields []byte) (int64, error) {
	r := reader{rest: fields}
	n := r.upTo(1 << 40)
	return int64(n), r.err
}

// appendState writes the state of a message in flight.
func appendState(dst []byte, kind core.OpKind, pid uint16) []byte {
	return binary.AppendUvarint(append(dst, byte(bits(kind == core.PutReleased))), uint64(pid))
}

func readState(r *reader) (kind core.OpKind, pid uint16) {
	var released bool
	r.flags(&released)
	if kind = core.PutInflight; released {
		kind = core.PutReleased
	}
	return kind, uint16(r.upTo(1<<16 - 1))
}

// appendValue writes the value of a rule.
func appendValue(dst []byte, op *core.Op) []byte {
	return appendText(binary.AppendVarint(dst, op.ExpiresAt), op.Value)
}

func readValue(r *reader) (value []byte, expiresAt int64) {
	expiresAt = r.int()
	return r.bytes(), expiresAt
}
