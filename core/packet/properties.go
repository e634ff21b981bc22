package packet

// PropertyID is the identifier of an MQTT 5 property (table 2-4).
type PropertyID byte

// The properties of MQTT 5.
const (
	PayloadFormat         PropertyID = 0x01
	MessageExpiry         PropertyID = 0x02
	ContentType           PropertyID = 0x03
	ResponseTopic         PropertyID = 0x08
	CorrelationData       PropertyID = 0x09
	SubscriptionID        PropertyID = 0x0B
	SessionExpiry         PropertyID = 0x11
	AssignedClientID      PropertyID = 0x12
	ServerKeepAlive       PropertyID = 0x13
	AuthMethod            PropertyID = 0x15
	AuthData              PropertyID = 0x16
	RequestProblemInfo    PropertyID = 0x17
	WillDelay             PropertyID = 0x18
	RequestResponseInfo   PropertyID = 0x19
	ResponseInfo          PropertyID = 0x1A
	ServerReference       PropertyID = 0x1C
	ReasonString          PropertyID = 0x1F
	ReceiveMaximum        PropertyID = 0x21
	TopicAliasMaximum     PropertyID = 0x22
	TopicAlias            PropertyID = 0x23
	MaximumQoS            PropertyID = 0x24
	RetainAvailable       PropertyID = 0x25
	User                  PropertyID = 0x26
	MaximumPacketSize     PropertyID = 0x27
	WildcardAvailable     PropertyID = 0x28
	SubscriptionIDsAvail  PropertyID = 0x29
	SharedSubscrAvailable PropertyID = 0x2A
)

// kind is the data type of a property's value (table 2-4).
type kind byte

const (
	noKind     kind = iota
	kindFlag        // a byte that is 0 or 1
	kindUint16      // two byte integer
	kindUint32      // four byte integer
	kindVarint      // variable byte integer
	kindString      // UTF-8 encoded string
	kindBinary      // binary data
	kindPair        // UTF-8 string pair
)

// inWill stands for the will properties where a Type is asked for: they are not
// a packet's, and type 0 is no packet.
const inWill Type = 0

// property is one row of table 2-4.
type property struct {
	name string
	kind kind
	in   uint16 // a bit per Type, bit 0 for the will
}

// in is a set of types, one bit each.
func in(types ...Type) (set uint16) {
	for _, t := range types {
		set |= 1 << t
	}
	return set
}

// table24 is table 2-4.
var table24 = [64]property{
	PayloadFormat:         {"Payload Format Indicator", kindFlag, in(PUBLISH, inWill)},
	MessageExpiry:         {"Message Expiry Interval", kindUint32, in(PUBLISH, inWill)},
	ContentType:           {"Content Type", kindString, in(PUBLISH, inWill)},
	ResponseTopic:         {"Response Topic", kindString, in(PUBLISH, inWill)},
	CorrelationData:       {"Correlation Data", kindBinary, in(PUBLISH, inWill)},
	SubscriptionID:        {"Subscription Identifier", kindVarint, in(PUBLISH, SUBSCRIBE)},
	SessionExpiry:         {"Session Expiry Interval", kindUint32, in(CONNECT, CONNACK, DISCONNECT)},
	AssignedClientID:      {"Assigned Client Identifier", kindString, in(CONNACK)},
	ServerKeepAlive:       {"Server Keep Alive", kindUint16, in(CONNACK)},
	AuthMethod:            {"Authentication Method", kindString, in(CONNECT, CONNACK, AUTH)},
	AuthData:              {"Authentication Data", kindBinary, in(CONNECT, CONNACK, AUTH)},
	RequestProblemInfo:    {"Request Problem Information", kindFlag, in(CONNECT)},
	WillDelay:             {"Will Delay Interval", kindUint32, in(inWill)},
	RequestResponseInfo:   {"Request Response Information", kindFlag, in(CONNECT)},
	ResponseInfo:          {"Response Information", kindString, in(CONNACK)},
	ServerReference:       {"Server Reference", kindString, in(CONNACK, DISCONNECT)},
	ReasonString:          {"Reason String", kindString, in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)},
	ReceiveMaximum:        {"Receive Maximum", kindUint16, in(CONNECT, CONNACK)},
	TopicAliasMaximum:     {"Topic Alias Maximum", kindUint16, in(CONNECT, CONNACK)},
	TopicAlias:            {"Topic Alias", kindUint16, in(PUBLISH)},
	MaximumQoS:            {"Maximum QoS", kindFlag, in(CONNACK)},
	RetainAvailable:       {"Retain Available", kindFlag, in(CONNACK)},
	User:                  {"User Property", kindPair, in(CONNECT, CONNACK, PUBLISH, inWill, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH)},
	MaximumPacketSize:     {"Maximum Packet Size", kindUint32, in(CONNECT, CONNACK)},
	WildcardAvailable:     {"Wildcard Subscription Available", kindFlag, in(CONNACK)},
	SubscriptionIDsAvail:  {"Subscription Identifier Available", kindFlag, in(CONNACK)},
	SharedSubscrAvailable: {"Shared Subscription Available", kindFlag, in(CONNACK)},
}

// belongs turns table 2-4 round: for each type, the set of its properties.
var belongs = func() (sets [16]uint64) {
	for id, row := range table24 {
		for t := range sets {
			if row.in&(1<<t) != 0 {
				sets[t] |= 1 << id
			}
		}
	}
	return sets
}()

// String returns the property's name in table 2-4, such as "Topic Alias".
func (id PropertyID) String() string {
	if int(id) < len(table24) && table24[id].kind != noKind {
		return table24[id].name
	}
	return "property 0x" + hexByte(byte(id))
}

// AllowedIn says whether a packet of type t may have the property (table 2-4).
func (id PropertyID) AllowedIn(t Type) bool {
	return t != inWill && belongs[t&15]&(1<<id) != 0
}

// AllowedInWill says whether a will may have the property (table 2-4).
func (id PropertyID) AllowedInWill() bool { return belongs[inWill]&(1<<id) != 0 }

// Properties holds the properties of one packet. A field counts only where
// Has says so; Set marks it (User and SubscriptionIDs count by their length).
type Properties struct {
	set uint64 // one bit per PropertyID

	PayloadFormat         byte
	MessageExpiry         uint32 // seconds
	ContentType           string
	ResponseTopic         string
	CorrelationData       []byte
	SubscriptionIDs       []uint32
	SessionExpiry         uint32 // seconds; 0xFFFFFFFF never
	AssignedClientID      string
	ServerKeepAlive       uint16 // seconds
	AuthMethod            string
	AuthData              []byte
	RequestProblemInfo    byte
	WillDelay             uint32 // seconds
	RequestResponseInfo   byte
	ResponseInfo          string
	ServerReference       string
	ReasonString          string
	ReceiveMaximum        uint16
	TopicAliasMaximum     uint16
	TopicAlias            uint16
	MaximumQoS            byte
	RetainAvailable       byte
	User                  []UserProperty
	MaximumPacketSize     uint32
	WildcardAvailable     byte
	SubscriptionIDsAvail  byte
	SharedSubscrAvailable byte
}

// Has says whether the property is present.
func (p *Properties) Has(id PropertyID) bool {
	switch id {
	case User:
		return len(p.User) > 0
	case SubscriptionID:
		return len(p.SubscriptionIDs) > 0
	}
	return p.set&(1<<id) != 0
}

// Set marks the property as present; the caller sets its field. It does nothing
// for User and SubscriptionID, which count by their length.
func (p *Properties) Set(id PropertyID) { p.set |= 1 << id &^ uint64(lists) }

// lists are the properties that may repeat.
const lists = 1<<User | 1<<SubscriptionID

// Clear takes the property away.
func (p *Properties) Clear(id PropertyID) {
	switch id {
	case User:
		p.User = p.User[:0]
	case SubscriptionID:
		p.SubscriptionIDs = p.SubscriptionIDs[:0]
	}
	p.set &^= 1 << id
}

// IsEmpty says that there is no property at all.
func (p *Properties) IsEmpty() bool {
	return p.set == 0 && len(p.User) == 0 && len(p.SubscriptionIDs) == 0
}

// Reset takes all properties away and keeps the slices for reuse, unless one
// packet made them unusually large.
func (p *Properties) Reset() {
	*p = Properties{User: reuse(p.User), SubscriptionIDs: reuse(p.SubscriptionIDs)}
}

// keptItems bounds what a decoded packet's slices hold on to between packets, so
// that one packet of 200,000 user properties does not cost its connection 6 MiB
// for good.
const keptItems = 64

func reuse[T any](s []T) []T {
	if cap(s) > keptItems {
		return nil
	}
	return s[:0]
}
