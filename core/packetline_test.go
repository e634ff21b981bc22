package core

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"lunamq/core/packet"
)

// A packet is written as its type and then words: key=value, or a flag.
//
//	CONNECT    v5|v311|v31  id= clean ka= user= pass= will=topic:payload:q1:retain:delay5:expiry5
//	CONNACK    present code=
//	PUBLISH    topic= payload= q= id= dup retain
//	PUBACK     id= code=              and PUBREC, PUBREL, PUBCOMP
//	SUBSCRIBE  id= f=filter:q1:nl:rap:rh2 …
//	SUBACK     id= codes=0,1,0x80     and UNSUBACK
//	UNSUBSCRIBE id= f=filter …
//	PINGREQ, PINGRESP
//	DISCONNECT code=                  and AUTH
//
// Properties are words too, by the names in lineProperties; up=key:value may
// repeat, and so may subid. code= is a number or a name. A value may be quoted
// as in Go. The version is v5 unless the CONNECT of the connection said else.

// lineProperties are the words for properties.
var lineProperties = map[string]packet.PropertyID{
	"format": packet.PayloadFormat, "msgexpiry": packet.MessageExpiry, "ctype": packet.ContentType,
	"resptopic": packet.ResponseTopic, "corr": packet.CorrelationData, "subid": packet.SubscriptionID,
	"expiry": packet.SessionExpiry, "assigned": packet.AssignedClientID, "serverka": packet.ServerKeepAlive,
	"auth": packet.AuthMethod, "authdata": packet.AuthData, "problem": packet.RequestProblemInfo,
	"wantinfo": packet.RequestResponseInfo, "info": packet.ResponseInfo, "ref": packet.ServerReference,
	"reason": packet.ReasonString, "rm": packet.ReceiveMaximum, "aliasmax": packet.TopicAliasMaximum,
	"alias": packet.TopicAlias, "maxqos": packet.MaximumQoS, "retainavail": packet.RetainAvailable,
	"up": packet.User, "maxpacket": packet.MaximumPacketSize, "wildavail": packet.WildcardAvailable,
	"subidavail": packet.SubscriptionIDsAvail, "sharedavail": packet.SharedSubscrAvailable,
}

// lineWords are a packet's words, taken one by one; what is left over at the
// end is a mistake.
type lineWords struct {
	kind  string
	words []lineWord
	err   error
}

type lineWord struct {
	key, value string
	used       bool
}

func parseWords(text string) (*lineWords, error) {
	l := new(lineWords)
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := 0
		for quoted := false; end < len(text) && (quoted || text[end] != ' '); end++ {
			if text[end] == '"' {
				quoted = !quoted
			}
		}
		word := text[:end]
		text = text[end:]
		if l.kind == "" {
			l.kind = word
			continue
		}
		key, value, _ := strings.Cut(word, "=")
		if strings.HasPrefix(value, `"`) {
			s, err := strconv.Unquote(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", word, err)
			}
			value = s
		}
		l.words = append(l.words, lineWord{key: key, value: value})
	}
	return l, nil
}

func (l *lineWords) all(key string) (values []string) {
	for i := range l.words {
		if l.words[i].key == key {
			l.words[i].used = true
			values = append(values, l.words[i].value)
		}
	}
	return values
}

func (l *lineWords) lookup(key string) (string, bool) {
	values := l.all(key)
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (l *lineWords) str(key string) string {
	s, _ := l.lookup(key)
	return s
}

func (l *lineWords) has(key string) bool {
	_, ok := l.lookup(key)
	return ok
}

func (l *lineWords) number(key string) uint64 {
	s, ok := l.lookup(key)
	if !ok {
		return 0
	}
	return l.parse(key, s)
}

func (l *lineWords) parse(key, s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		l.err = fmt.Errorf("%s=%s: %w", key, s, err)
	}
	return n
}

func (l *lineWords) code() packet.ReasonCode {
	s, ok := l.lookup("code")
	if !ok {
		return 0
	}
	return l.reason(s)
}

func (l *lineWords) reason(s string) packet.ReasonCode {
	if c, ok := packet.ReasonByName(s); ok {
		return c
	}
	return packet.ReasonCode(l.parse("code", s))
}

// props takes the words that are properties; those with the value * are taken
// from got.
func (l *lineWords) props(p, got *packet.Properties) {
	for i := range l.words {
		w := &l.words[i]
		id, ok := lineProperties[w.key]
		if !ok || w.used || w.key == "user" {
			continue
		}
		w.used = true
		if w.value == "*" {
			copyProperty(p, got, id)
			continue
		}
		l.setProperty(p, id, w)
	}
}

func (l *lineWords) setProperty(p *packet.Properties, id packet.PropertyID, w *lineWord) {
	p.Set(id)
	switch id {
	case packet.ContentType:
		p.ContentType = w.value
	case packet.ResponseTopic:
		p.ResponseTopic = w.value
	case packet.CorrelationData:
		p.CorrelationData = []byte(w.value)
	case packet.AssignedClientID:
		p.AssignedClientID = w.value
	case packet.AuthMethod:
		p.AuthMethod = w.value
	case packet.AuthData:
		p.AuthData = []byte(w.value)
	case packet.ResponseInfo:
		p.ResponseInfo = w.value
	case packet.ServerReference:
		p.ServerReference = w.value
	case packet.ReasonString:
		p.ReasonString = w.value
	case packet.User:
		k, v, _ := strings.Cut(w.value, ":")
		p.User = append(p.User, packet.UserProperty{Key: k, Value: v})
	default:
		l.setNumber(p, id, l.parse(w.key, w.value))
	}
}

func (l *lineWords) setNumber(p *packet.Properties, id packet.PropertyID, n uint64) {
	switch id {
	case packet.PayloadFormat:
		p.PayloadFormat = byte(n)
	case packet.MessageExpiry:
		p.MessageExpiry = uint32(n)
	case packet.SubscriptionID:
		p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(n))
	case packet.SessionExpiry:
		p.SessionExpiry = uint32(n)
	case packet.ServerKeepAlive:
		p.ServerKeepAlive = uint16(n)
	case packet.RequestProblemInfo:
		p.RequestProblemInfo = byte(n)
	case packet.RequestResponseInfo:
		p.RequestResponseInfo = byte(n)
	case packet.ReceiveMaximum:
		p.ReceiveMaximum = uint16(n)
	case packet.TopicAliasMaximum:
		p.TopicAliasMaximum = uint16(n)
	case packet.TopicAlias:
		p.TopicAlias = uint16(n)
	case packet.MaximumQoS:
		p.MaximumQoS = byte(n)
	case packet.RetainAvailable:
		p.RetainAvailable = byte(n)
	case packet.MaximumPacketSize:
		p.MaximumPacketSize = uint32(n)
	case packet.WildcardAvailable:
		p.WildcardAvailable = byte(n)
	case packet.SubscriptionIDsAvail:
		p.SubscriptionIDsAvail = byte(n)
	case packet.SharedSubscrAvailable:
		p.SharedSubscrAvailable = byte(n)
	}
}

// copyProperty takes one property from got, if it is there.
func copyProperty(p, got *packet.Properties, id packet.PropertyID) {
	if got == nil || !got.Has(id) {
		return
	}
	p.Set(id)
	switch id {
	case packet.ReasonString:
		p.ReasonString = got.ReasonString
	case packet.AssignedClientID:
		p.AssignedClientID = got.AssignedClientID
	case packet.User:
		p.User = got.User
	case packet.MessageExpiry:
		p.MessageExpiry = got.MessageExpiry
	case packet.AuthData:
		p.AuthData = got.AuthData
	}
}

// encodeLine encodes a packet that is sent; the version is that of the
// connection from then on.
func encodeLine(text string, v packet.Version) ([]byte, packet.Version, error) {
	if digits, ok := strings.CutPrefix(text, "hex "); ok {
		p, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if h, ok, _ := packet.ParseHeader(p); ok && h.Type == packet.CONNECT && h.Size <= len(p) {
			var c packet.Connect
			_ = c.Decode(p[h.HeaderLen:h.Size]) // what is wrong with it is the broker's to say
			v = max(c.Version, packet.V31)
		}
		return p, v, err
	}
	l, err := parseWords(text)
	if err != nil {
		return nil, v, err
	}
	if l.kind == "CONNECT" {
		v = packet.V5
		if l.has("v31") {
			v = packet.V31
		}
		if l.has("v311") {
			v = packet.V311
		}
		l.has("v5")
		p := l.connect(v)
		return p, v, l.done()
	}
	p := l.encode(v, nil)
	return p, v, l.done()
}

// encodeExpected encodes a packet that should have come; got is what came.
func encodeExpected(text string, v packet.Version, got []byte) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "hex "); ok {
		return hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	}
	l, err := parseWords(text)
	if err != nil {
		return nil, err
	}
	p := l.encode(v, propertiesOf(got, v))
	return p, l.done()
}

func (l *lineWords) done() error {
	for _, w := range l.words {
		if !w.used && l.err == nil {
			l.err = fmt.Errorf("%s has no %q", l.kind, w.key)
		}
	}
	return l.err
}

func (l *lineWords) connect(v packet.Version) []byte {
	c := packet.Connect{Version: v, ClientID: l.str("id"), CleanStart: l.has("clean"), KeepAlive: uint16(l.number("ka"))}
	c.Username, c.HasUsername = l.lookup("user")
	if password, ok := l.lookup("pass"); ok {
		c.HasPassword, c.Password = true, []byte(password)
	}
	if text, ok := l.lookup("will"); ok {
		c.HasWill, c.Will = true, l.will(text)
	}
	l.props(&c.Props, nil)
	return c.Append(nil)
}

func (l *lineWords) will(text string) (w packet.Will) {
	parts := strings.Split(text, ":")
	w.Topic = parts[0]
	for i, part := range parts[1:] {
		seconds, isDelay := strings.CutPrefix(part, "delay")
		expiry, isExpiry := strings.CutPrefix(part, "expiry")
		switch {
		case i == 0:
			w.Payload = []byte(part)
		case part == "retain":
			w.Retain = true
		case isDelay:
			w.Props.Set(packet.WillDelay)
			w.Props.WillDelay = uint32(l.parse("delay", seconds))
		case isExpiry:
			w.Props.Set(packet.MessageExpiry)
			w.Props.MessageExpiry = uint32(l.parse("expiry", expiry))
		default:
			w.QoS = byte(l.parse("q", strings.TrimPrefix(part, "q")))
		}
	}
	return w
}

// encode encodes any packet but CONNECT.
func (l *lineWords) encode(v packet.Version, got *packet.Properties) []byte {
	switch l.kind {
	case "CONNACK":
		p := packet.Connack{SessionPresent: l.has("present"), Code: l.code()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "PUBLISH":
		p := packet.Publish{Topic: l.str("topic"), Payload: []byte(l.str("payload")), QoS: byte(l.number("q")), PacketID: uint16(l.number("id")), Dup: l.has("dup"), Retain: l.has("retain")}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "PUBACK", "PUBREC", "PUBREL", "PUBCOMP":
		p := packet.Ack{Type: ackTypes[l.kind], PacketID: uint16(l.number("id")), Code: l.code()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "SUBSCRIBE":
		p := packet.Subscribe{PacketID: uint16(l.number("id"))}
		for _, text := range l.all("f") {
			p.Filters = append(p.Filters, l.filter(text))
		}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "UNSUBSCRIBE":
		p := packet.Unsubscribe{PacketID: uint16(l.number("id")), Filters: l.all("f")}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "SUBACK":
		p := packet.Suback{PacketID: uint16(l.number("id")), Codes: l.codes()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "UNSUBACK":
		p := packet.Unsuback{PacketID: uint16(l.number("id")), Codes: l.codes()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "DISCONNECT":
		p := packet.Disconnect{Code: l.code()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "AUTH":
		p := packet.Auth{Code: l.code()}
		l.props(&p.Props, got)
		return p.Append(nil, v)
	case "PINGREQ":
		return (&packet.Pingreq{}).Append(nil, v)
	case "PINGRESP":
		return (&packet.Pingresp{}).Append(nil, v)
	}
	l.err = fmt.Errorf("%q is no packet", l.kind)
	return nil
}

var ackTypes = map[string]packet.Type{"PUBACK": packet.PUBACK, "PUBREC": packet.PUBREC, "PUBREL": packet.PUBREL, "PUBCOMP": packet.PUBCOMP}

func (l *lineWords) codes() (codes []packet.ReasonCode) {
	if list := l.str("codes"); list != "" {
		for _, s := range strings.Split(list, ",") {
			codes = append(codes, l.reason(s))
		}
	}
	return codes
}

func (l *lineWords) filter(text string) (f packet.FilterOptions) {
	parts := strings.Split(text, ":")
	f.Filter = parts[0]
	for _, part := range parts[1:] {
		switch part {
		case "nl":
			f.NoLocal = true
		case "rap":
			f.RetainAsPublished = true
		case "rh1", "rh2":
			f.RetainHandling = part[2] - '0'
		default:
			f.QoS = byte(l.parse("q", strings.TrimPrefix(part, "q")))
		}
	}
	return f
}

// decoder is what all packets that a server sends have.
type decoder interface {
	Decode(packet.Version, packet.Header, []byte) error
}

// decodePacket decodes what a server sent; props are its properties.
func decodePacket(got []byte, v packet.Version) (p decoder, props *packet.Properties) {
	h, ok, err := packet.ParseHeader(got)
	if err != nil || !ok || h.Size > len(got) {
		return nil, nil
	}
	switch h.Type {
	case packet.CONNACK:
		x := new(packet.Connack)
		p, props = x, &x.Props
	case packet.PUBLISH:
		x := new(packet.Publish)
		p, props = x, &x.Props
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		x := new(packet.Ack)
		p, props = x, &x.Props
	case packet.SUBACK:
		x := new(packet.Suback)
		p, props = x, &x.Props
	case packet.UNSUBACK:
		x := new(packet.Unsuback)
		p, props = x, &x.Props
	case packet.DISCONNECT:
		x := new(packet.Disconnect)
		p, props = x, &x.Props
	case packet.AUTH:
		x := new(packet.Auth)
		p, props = x, &x.Props
	case packet.PINGRESP:
		p = new(packet.Pingresp)
	default:
		return nil, nil
	}
	if p.Decode(v, h, got[h.HeaderLen:h.Size]) != nil {
		return nil, nil
	}
	return p, props
}

func propertiesOf(got []byte, v packet.Version) *packet.Properties {
	_, props := decodePacket(got, v)
	return props
}

func describePacket(got []byte, v packet.Version) string {
	if p, _ := decodePacket(got, v); p != nil {
		return fmt.Sprintf("%s %+v", packet.Type(got[0]>>4), p)
	}
	return "(not a packet of a server)"
}
