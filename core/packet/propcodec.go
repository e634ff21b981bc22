package packet

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// readProperties reads the properties of a packet (2.2.2), of which 3.x has
// none, into p.
func (r *reader) readProperties(v Version, t Type, p *Properties) {
	if !p.IsEmpty() {
		p.Reset()
	}
	if v < V5 || r.err != nil {
		return
	}
	n := r.varint("property length")
	if n == 0 {
		return
	}
	body := reader{buf: r.take(n, "properties")}
	for len(body.buf) > 0 {
		p.readOne(&body, t)
	}
	if body.err != nil {
		r.fail(body.err)
		return
	}
	if p.Has(AuthData) && !p.Has(AuthMethod) {
		r.fail(protocolError("authentication data without a method")) // 3.1.2.11.10
	}
}

// readOne reads one property. All identifiers are one byte long; a byte that
// begins a longer one is none of them (2.2.2.2).
func (p *Properties) readOne(r *reader, t Type) {
	id := PropertyID(r.byte("property identifier"))
	switch {
	case belongs[t]&(1<<id) == 0:
		r.fail(misplaced(id, t))
	case p.set&(1<<id) != 0, id == SubscriptionID && t == SUBSCRIBE && len(p.SubscriptionIDs) > 0:
		r.fail(protocolError(id.String() + " more than once")) // said at each property
	default:
		p.readValue(r, id)
	}
}

func misplaced(id PropertyID, t Type) *Error {
	where := t.String()
	if t == inWill {
		where = "a will"
	}
	return malformed(id.String() + " does not belong in " + where) // 2.2.2.2
}

func (p *Properties) readValue(r *reader, id PropertyID) {
	name := table24[id].name
	switch table24[id].kind {
	case kindFlag:
		*p.flag(id) = r.byte(name)
	case kindUint16:
		*p.uint16(id) = r.uint16(name)
	case kindUint32:
		*p.uint32(id) = r.uint32(name)
	case kindString:
		*p.string(id) = r.string(name)
	case kindBinary:
		*p.binary(id) = r.binary(name)
	case kindVarint:
		p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(r.varint(name)))
	case kindPair:
		p.User = append(p.User, UserProperty{Key: r.string(name), Value: r.string(name)})
	}
	p.Set(id)
	if r.err == nil {
		if e := p.checkValue(id); e != nil {
			r.fail(e)
		}
	}
}

// checkValue judges the value just read by what its own section says.
func (p *Properties) checkValue(id PropertyID) *Error {
	switch id {
	case TopicAlias:
		if p.TopicAlias == 0 {
			return &Error{TopicAliasInvalid, "Topic Alias is 0"} // [MQTT-3.3.2-8]
		}
	case SubscriptionID:
		if p.SubscriptionIDs[len(p.SubscriptionIDs)-1] == 0 {
			return protocolError("Subscription Identifier is 0") // 3.3.2.3.8, 3.8.2.1.2
		}
	case ReceiveMaximum:
		if p.ReceiveMaximum == 0 {
			return protocolError("Receive Maximum is 0") // 3.1.2.11.3, 3.2.2.3.3
		}
	case MaximumPacketSize:
		if p.MaximumPacketSize == 0 {
			return protocolError("Maximum Packet Size is 0") // 3.1.2.11.4, 3.2.2.3.6
		}
	case ResponseTopic:
		if p.ResponseTopic == "" || strings.ContainsAny(p.ResponseTopic, "+#") {
			return protocolError("Response Topic is not a topic name") // [MQTT-3.3.2-14], [MQTT-4.7.3-1]
		}
	default:
		if table24[id].kind == kindFlag && *p.flag(id) > 1 {
			return protocolError(id.String() + " is neither 0 nor 1") // 3.1.2.11.6 and 7, 3.2.2.3.4 and 5, …
		}
	}
	return nil
}

// present is the set of the properties that p has and t may have.
func (p *Properties) present(t Type) uint64 {
	set := p.set
	if len(p.User) > 0 {
		set |= 1 << User
	}
	if len(p.SubscriptionIDs) > 0 {
		set |= 1 << SubscriptionID
	}
	return set & belongs[t]
}

// wireSize is the size of the properties with their length in front.
func (p *Properties) wireSize(t Type) int {
	n := p.size(p.present(t))
	return varintSize(n) + n
}

// size is the size of a set of the properties. Identifiers take one byte.
func (p *Properties) size(set uint64) (n int) {
	for ; set != 0; set &= set - 1 {
		id := PropertyID(bits.TrailingZeros64(set))
		switch table24[id].kind {
		case kindFlag:
			n += 1 + 1
		case kindUint16:
			n += 1 + 2
		case kindUint32:
			n += 1 + 4
		case kindString:
			n += 1 + stringSize(*p.string(id))
		case kindBinary:
			n += 1 + stringSize(*p.binary(id))
		case kindVarint:
			for _, subID := range p.SubscriptionIDs {
				n += 1 + varintSize(int(subID))
			}
		case kindPair:
			for _, u := range p.User {
				n += 1 + stringSize(u.Key) + stringSize(u.Value)
			}
		}
	}
	return n
}

// append appends the properties that t may have, with their length in front, in
// the order of their identifiers.
func (p *Properties) append(dst []byte, t Type) []byte {
	set := p.present(t)
	dst = AppendVarint(dst, p.size(set))
	for ; set != 0; set &= set - 1 {
		dst = p.appendOne(dst, PropertyID(bits.TrailingZeros64(set)))
	}
	return dst
}

func (p *Properties) appendOne(dst []byte, id PropertyID) []byte {
	switch table24[id].kind {
	case kindFlag:
		return append(dst, byte(id), *p.flag(id))
	case kindUint16:
		return binary.BigEndian.AppendUint16(append(dst, byte(id)), *p.uint16(id))
	case kindUint32:
		return binary.BigEndian.AppendUint32(append(dst, byte(id)), *p.uint32(id))
	case kindString:
		return appendString(append(dst, byte(id)), *p.string(id))
	case kindBinary:
		return appendString(append(dst, byte(id)), *p.binary(id))
	case kindVarint:
		for _, subID := range p.SubscriptionIDs {
			dst = AppendVarint(append(dst, byte(id)), int(subID))
		}
	case kindPair:
		for _, u := range p.User {
			dst = appendString(append(dst, byte(id)), u.Key)
			dst = appendString(dst, u.Value)
		}
	}
	return dst
}

// The fields by identifier, one function for each kind. A wrong identifier
// returns nil; the table of the properties and these are held together by a test.

func (p *Properties) flag(id PropertyID) *byte {
	switch id {
	case PayloadFormat:
		return &p.PayloadFormat
	case RequestProblemInfo:
		return &p.RequestProblemInfo
	case RequestResponseInfo:
		return &p.RequestResponseInfo
	case MaximumQoS:
		return &p.MaximumQoS
	case RetainAvailable:
		return &p.RetainAvailable
	case WildcardAvailable:
		return &p.WildcardAvailable
	case SubscriptionIDsAvail:
		return &p.SubscriptionIDsAvail
	case SharedSubscrAvailable:
		return &p.SharedSubscrAvailable
	}
	return nil
}

func (p *Properties) uint16(id PropertyID) *uint16 {
	switch id {
	case ServerKeepAlive:
		return &p.ServerKeepAlive
	case ReceiveMaximum:
		return &p.ReceiveMaximum
	case TopicAliasMaximum:
		return &p.TopicAliasMaximum
	case TopicAlias:
		return &p.TopicAlias
	}
	return nil
}

func (p *Properties) uint32(id PropertyID) *uint32 {
	switch id {
	case MessageExpiry:
		return &p.MessageExpiry
	case SessionExpiry:
		return &p.SessionExpiry
	case WillDelay:
		return &p.WillDelay
	case MaximumPacketSize:
		return &p.MaximumPacketSize
	}
	return nil
}

func (p *Properties) string(id PropertyID) *string {
	switch id {
	case ContentType:
		return &p.ContentType
	case ResponseTopic:
		return &p.ResponseTopic
	case AssignedClientID:
		return &p.AssignedClientID
	case AuthMethod:
		return &p.AuthMethod
	case ResponseInfo:
		return &p.ResponseInfo
	case ServerReference:
		return &p.ServerReference
	case ReasonString:
		return &p.ReasonString
	}
	return nil
}

func (p *Properties) binary(id PropertyID) *[]byte {
	switch id {
	case CorrelationData:
		return &p.CorrelationData
	case AuthData:
		return &p.AuthData
	}
	return nil
}
