// Package packet is the wire of MQTT 3.1, 3.1.1 and 5.0: it turns bytes into
// packets and packets into bytes, strictly as the three specifications say.
// It knows nothing of clients, sessions or topics beyond their syntax on the
// wire, and imports nothing of ours.
//
// Decoding takes two steps. [ParseHeader] judges the first bytes of a stream
// and says how long the packet is; the Decode method of the packet's type takes
// the header and the body. An [Error] carries the reason code with which MQTT 5
// ends the connection: MalformedPacket for what cannot be parsed, ProtocolError
// for what can be but must not be said (1.2, 4.13). After an error the contents
// of the packet mean nothing, except Connect.Version.
//
// Decoding lends: every string and byte slice of a decoded packet points into
// the body it was decoded from and is valid until that memory is reused.
// Decoding into the same value again reuses its slices, so a connection
// decodes without allocating. Nothing is allocated for a length that has merely
// been announced.
//
// Encoding appends. It leaves out properties that table 2-4 does not give to
// the packet's type, and what the version does not have. The caller vouches for
// the rest: strings that satisfy [ValidString], binary data of at most 65,535
// bytes, a body of at most [MaxLength] bytes. Longer ones panic, for the bytes
// would tear the stream for all that follows.
package packet

import "strconv"

// Version is the protocol level of CONNECT.
type Version byte

// The protocol levels a server speaks [MQTT-3.1.2-2].
const (
	V31  Version = 3 // protocol name "MQIsdp"
	V311 Version = 4 // protocol name "MQTT"
	V5   Version = 5
)

// String returns the version as people write it: "3.1", "3.1.1", "5".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5"
	}
	return "level " + strconv.Itoa(int(v))
}

// Type is the control packet type, the high four bits of the first byte
// (MQTT 5, table 2-1).
type Type byte

// The control packet types.
const (
	CONNECT Type = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

var typeNames = [16]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the specification's name of the type, such as "PUBLISH".
func (t Type) String() string { return typeNames[t&15] }

// Sender is the side a packet comes from. The same decoders serve both
// directions; CheckFrom holds what only one side may send.
type Sender byte

// The two ends of a connection.
const (
	FromClient Sender = iota
	FromServer
)

// String returns "client" or "server".
func (s Sender) String() string {
	if s == FromServer {
		return "server"
	}
	return "client"
}

// UserProperty is one name–value pair; names may repeat and order is kept
// [MQTT-3.3.2-18].
type UserProperty struct{ Key, Value string }

// Connect is CONNECT (3.1).
type Connect struct {
	Version     Version
	CleanStart  bool // clean session in 3.x
	KeepAlive   uint16
	ClientID    string
	HasWill     bool
	Will        Will
	HasUsername bool
	Username    string
	HasPassword bool
	Password    []byte
	Props       Properties
}

// Will is the will of a CONNECT, with its own properties (3.1.3.2).
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Props   Properties
}

// Connack is CONNACK (3.2). For 3.x, Code is the CONNACK return code 0–5 of
// 3.1.1 table 3.1; see ReasonCode.ConnackV3. 3.1 has no session present.
type Connack struct {
	SessionPresent bool
	Code           ReasonCode
	Props          Properties
}

// Publish is PUBLISH (3.3).
type Publish struct {
	Dup      bool
	QoS      byte
	Retain   bool
	Topic    string // empty with a topic alias (MQTT 5)
	PacketID uint16 // 0 with QoS 0
	Props    Properties
	Payload  []byte
}

// Ack is PUBACK, PUBREC, PUBREL or PUBCOMP (3.4–3.7), by Type.
type Ack struct {
	Type     Type
	PacketID uint16
	Code     ReasonCode // MQTT 5; Success in 3.x
	Props    Properties
}

// Subscribe is SUBSCRIBE (3.8).
type Subscribe struct {
	PacketID uint16
	Filters  []FilterOptions
	Props    Properties
}

// FilterOptions is one filter of a SUBSCRIBE with its options (3.8.3.1).
type FilterOptions struct {
	Filter            string
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
}

// Suback is SUBACK (3.9). The codes of 3.x are the granted QoS or 0x80.
type Suback struct {
	PacketID uint16
	Codes    []ReasonCode
	Props    Properties
}

// Unsubscribe is UNSUBSCRIBE (3.10).
type Unsubscribe struct {
	PacketID uint16
	Filters  []string
	Props    Properties
}

// Unsuback is UNSUBACK (3.11); 3.x has no codes.
type Unsuback struct {
	PacketID uint16
	Codes    []ReasonCode
	Props    Properties
}

// Disconnect is DISCONNECT (3.14); 3.x has no code.
type Disconnect struct {
	Code  ReasonCode
	Props Properties
}

// Auth is AUTH (3.15), MQTT 5 only.
type Auth struct {
	Code  ReasonCode
	Props Properties
}
