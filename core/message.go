package core

import "lunamq/core/packet"

// Origin says who made a message.
type Origin uint8

// The origins of a message.
const (
	OriginClient Origin = iota
	OriginWill
	OriginScript
	OriginBridge
	OriginAdmin
	OriginBroker // $SYS
)

// String returns the origin's name as rules and logs write it.
func (o Origin) String() string {
	return [...]string{"client", "will", "script", "bridge", "admin", "broker"}[o]
}

// Message is an application message. While hooks are asked about it, its
// strings and slices may be lent from the read buffer: they are valid until
// the hook returns, and a hook that keeps one copies it. A hook changes a
// message by assigning fields (never by writing into Payload); what changed is
// validated again. After the last hook the message is immutable.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Dup     bool // as received; never passed on [MQTT-3.3.1-3]
	Origin  Origin

	// Publisher is who sent it: never nil while hooks are asked.
	Publisher *Client

	// The properties of MQTT 5 that belong to the message, not to the
	// connection; from 3.x they are empty and writable like any other.
	HasPayloadFormat   bool
	HasExpiry          bool
	HasContentType     bool
	HasResponseTopic   bool
	HasCorrelationData bool
	PayloadFormat      byte   // 0 bytes, 1 UTF-8
	Expiry             uint32 // seconds from now
	ContentType        string
	ResponseTopic      string
	CorrelationData    []byte
	UserProperties     []packet.UserProperty

	expiresAt int64 // unix nanoseconds, 0 never; set when the message becomes immutable
}
