package core

import (
	"strings"
	"time"
	"unsafe"

	"lunamq/core/packet"
)

// messageOverhead is what a kept message costs beside its bytes, roughly: the
// struct, and its place in a queue.
const messageOverhead = 256

// Weight is what a message counts in the bounds that are in bytes.
func (m *Message) Weight() int {
	n := messageOverhead + len(m.Topic) + len(m.Payload) + len(m.ContentType) + len(m.ResponseTopic) + len(m.CorrelationData)
	for _, p := range m.UserProperties {
		n += len(p.Key) + len(p.Value) + 32
	}
	return n
}

// isFrom says whether the message, or the will, is of the client with session s.
func (m *Message) isFrom(s *session) bool {
	return (m.Origin == OriginClient || m.Origin == OriginWill) && m.Publisher != nil && m.Publisher.ID == s.id() && m.Publisher.Mount == s.mount()
}

// keep returns a copy that owns its memory: one allocation for the struct, one
// for all bytes but user properties.
func (m *Message) keep() *Message {
	k := *m
	buf := make([]byte, 0, len(m.Topic)+len(m.Payload)+len(m.ContentType)+len(m.ResponseTopic)+len(m.CorrelationData))
	own := func(s string) string {
		if s == "" {
			return ""
		}
		at := len(buf)
		buf = append(buf, s...)
		return unsafe.String(&buf[at], len(s))
	}
	k.Topic, k.ContentType, k.ResponseTopic = own(m.Topic), own(m.ContentType), own(m.ResponseTopic)
	at := len(buf)
	buf = append(buf, m.Payload...)
	k.Payload = buf[at:len(buf):len(buf)]
	at = len(buf)
	buf = append(buf, m.CorrelationData...)
	k.CorrelationData = buf[at:len(buf):len(buf)]
	k.UserProperties = cloneUserProperties(m.UserProperties)
	return &k
}

func cloneUserProperties(from []packet.UserProperty) []packet.UserProperty {
	if len(from) == 0 {
		return nil
	}
	out := make([]packet.UserProperty, len(from))
	for i, p := range from {
		out[i] = packet.UserProperty{Key: strings.Clone(p.Key), Value: strings.Clone(p.Value)}
	}
	return out
}

// seal fixes the moment of expiry; from here on the message is immutable.
func (m *Message) seal() {
	m.expiresAt = 0
	if m.HasExpiry {
		m.expiresAt = time.Now().Add(time.Duration(m.Expiry) * time.Second).UnixNano()
	}
}

// remaining returns the seconds left, rounded up, and whether the message has
// expired [MQTT-3.3.2-5], [MQTT-3.3.2-6].
func (m *Message) remaining() (seconds uint32, expired bool) {
	if m.expiresAt == 0 {
		return 0, false
	}
	left := m.expiresAt - time.Now().UnixNano()
	if left <= 0 {
		return 0, true
	}
	return uint32((left + int64(time.Second) - 1) / int64(time.Second)), false
}

// fromPublish fills m with what a PUBLISH carries; all of it is lent.
func (m *Message) fromPublish(p *packet.Publish) {
	*m = Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Dup: p.Dup}
	if !p.Props.IsEmpty() {
		m.fromProperties(&p.Props)
	}
}

// fromProperties takes over the properties that belong to a message.
func (m *Message) fromProperties(p *packet.Properties) {
	m.HasPayloadFormat, m.PayloadFormat = p.Has(packet.PayloadFormat), p.PayloadFormat
	m.HasExpiry, m.Expiry = p.Has(packet.MessageExpiry), p.MessageExpiry
	m.HasContentType, m.ContentType = p.Has(packet.ContentType), p.ContentType
	m.HasResponseTopic, m.ResponseTopic = p.Has(packet.ResponseTopic), p.ResponseTopic
	m.HasCorrelationData, m.CorrelationData = p.Has(packet.CorrelationData), p.CorrelationData
	m.UserProperties = p.User
}

// toProperties writes the message's properties into p, with the expiry
// counted down.
func (m *Message) toProperties(p *packet.Properties, mount string) {
	if m.HasPayloadFormat {
		p.Set(packet.PayloadFormat)
		p.PayloadFormat = m.PayloadFormat
	}
	if left, _ := m.remaining(); m.expiresAt != 0 {
		p.Set(packet.MessageExpiry)
		p.MessageExpiry = left
	}
	if m.HasContentType {
		p.Set(packet.ContentType)
		p.ContentType = m.ContentType
	}
	if m.HasResponseTopic {
		p.Set(packet.ResponseTopic)
		p.ResponseTopic = strings.TrimPrefix(m.ResponseTopic, mount)
	}
	if m.HasCorrelationData {
		p.Set(packet.CorrelationData)
		p.CorrelationData = m.CorrelationData
	}
	p.User = m.UserProperties
}
