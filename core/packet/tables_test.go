package packet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The tables of the specification, written down a second time, by packet.

var propertiesByType = map[Type]string{ // table 2-4
	inWill:      "01 02 03 08 09 18 26",
	CONNECT:     "11 15 16 17 19 21 22 26 27",
	CONNACK:     "11 12 13 15 16 1a 1c 1f 21 22 24 25 26 27 28 29 2a",
	PUBLISH:     "01 02 03 08 09 0b 23 26",
	PUBACK:      "1f 26",
	PUBREC:      "1f 26",
	PUBREL:      "1f 26",
	PUBCOMP:     "1f 26",
	SUBSCRIBE:   "0b 26",
	SUBACK:      "1f 26",
	UNSUBSCRIBE: "26",
	UNSUBACK:    "1f 26",
	DISCONNECT:  "11 1c 1f 26",
	AUTH:        "15 16 1f 26",
}

var reasonsByType = map[Type]string{ // table 2-6
	CONNACK:    "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f",
	PUBACK:     "00 10 80 83 87 90 91 97 99",
	PUBREC:     "00 10 80 83 87 90 91 97 99",
	PUBREL:     "00 92",
	PUBCOMP:    "00 92",
	SUBACK:     "00 01 02 80 83 87 8f 91 97 9e a1 a2",
	UNSUBACK:   "00 11 80 83 87 8f 91",
	DISCONNECT: "00 04 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
	AUTH:       "00 18 19",
}

// setOf lists the bytes that in holds of.
func setOf(in func(b byte) bool) string {
	var list []string
	for b := range 256 {
		if in(byte(b)) {
			list = append(list, fmt.Sprintf("%02x", b))
		}
	}
	return strings.Join(list, " ")
}

func TestTables(t *testing.T) {
	for at := inWill; at <= AUTH; at++ {
		allowed := func(b byte) bool { return PropertyID(b).AllowedIn(at) }
		if at == inWill {
			allowed = func(b byte) bool { return PropertyID(b).AllowedInWill() }
			if PropertyID(PayloadFormat).AllowedIn(at) {
				t.Error("type 0 has properties")
			}
		}
		if got := setOf(allowed); got != propertiesByType[at] {
			t.Errorf("properties of %v:\n got %s\nwant %s", at, got, propertiesByType[at])
		}
		if got := setOf(func(b byte) bool { return ReasonCode(b).AllowedIn(at) }); got != reasonsByType[at] {
			t.Errorf("reason codes of %v:\n got %s\nwant %s", at, got, reasonsByType[at])
		}
	}
}

// TestPropertyOwnField: each property of the table has a field, its own.
func TestPropertyOwnField(t *testing.T) {
	var p Properties
	owner := make(map[any]PropertyID)
	for i, row := range table24 {
		id := PropertyID(i)
		var field any
		var missing bool
		switch row.kind {
		case kindFlag:
			field, missing = p.flag(id), p.flag(id) == nil
		case kindUint16:
			field, missing = p.uint16(id), p.uint16(id) == nil
		case kindUint32:
			field, missing = p.uint32(id), p.uint32(id) == nil
		case kindString:
			field, missing = p.string(id), p.string(id) == nil
		case kindBinary:
			field, missing = p.binary(id), p.binary(id) == nil
		default:
			continue
		}
		if other, taken := owner[field]; missing || taken {
			t.Errorf("%v: no field of its own (missing %v, shared with %v)", id, missing, other)
		}
		owner[field] = id
	}
	if len(owner) != 25 { // table 2-4 has 27, two are lists
		t.Errorf("%d fields, want 25", len(owner))
	}
}

func TestProperties(t *testing.T) {
	var p Properties
	for i, row := range table24 {
		id := PropertyID(i)
		if row.kind == noKind {
			continue
		}
		p.Set(id)
		switch id {
		case User:
			if p.Has(User) {
				t.Error("user properties without any")
			}
			p.User = append(p.User, UserProperty{})
		case SubscriptionID:
			if p.Has(SubscriptionID) {
				t.Error("subscription identifiers without any")
			}
			p.SubscriptionIDs = append(p.SubscriptionIDs, 1)
		}
		if !p.Has(id) || p.IsEmpty() {
			t.Errorf("%v is not there", id)
		}
		p.Clear(id)
		if p.Has(id) || !p.IsEmpty() {
			t.Errorf("%v is still there", id)
		}
	}
	p.Set(TopicAlias)
	p.TopicAlias = 7
	p.User = append(p.User, UserProperty{"a", "b"})
	p.Reset()
	if !p.IsEmpty() || p.TopicAlias != 0 || cap(p.User) == 0 {
		t.Errorf("after Reset: %+v", p)
	}
}

func TestReasonNames(t *testing.T) {
	for _, c := range []struct {
		name string
		code ReasonCode
	}{ // those that SCRIPT-API.md writes
		{"success", 0x00}, {"not_authorized", 0x87}, {"bad_user_name_or_password", 0x86},
		{"topic_name_invalid", 0x90}, {"quota_exceeded", 0x97}, {"banned", 0x8A},
		{"payload_format_invalid", 0x99}, {"packet_identifier_in_use", 0x91},
		{"client_identifier_not_valid", 0x85}, {"re_authenticate", 0x19}, {"qos_not_supported", 0x9B},
		{"normal_disconnection", 0x00}, {"granted_qos_0", 0x00},
	} {
		if got, ok := ReasonByName(c.name); got != c.code || !ok {
			t.Errorf("%s: %#x, %v, want %#x", c.name, byte(got), ok, byte(c.code))
		}
	}
	names := ReasonNames()
	if len(names) != 43+2 || !slices.IsSorted(names) { // table 2-6 has 43 values, and three names for 0x00
		t.Errorf("%d names: %q", len(names), names)
	}
	for _, name := range names {
		c, ok := ReasonByName(name)
		if !ok || c != Success && c.String() != name {
			t.Errorf("%s: %v, %v", name, c, ok)
		}
		if c.IsError() != (c >= 0x80) {
			t.Errorf("%s: IsError %v", name, c.IsError())
		}
	}
	if c, ok := ReasonByName("nonsense"); ok {
		t.Errorf("nonsense is %v", c)
	}
	if got := ReasonCode(0x7F).String(); got != "reason 0x7f" {
		t.Errorf("0x7F is %q", got)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		got  fmt.Stringer
		want string
	}{
		{V31, "3.1"}, {V311, "3.1.1"}, {V5, "5"}, {Version(6), "level 6"},
		{CONNECT, "CONNECT"}, {PUBCOMP, "PUBCOMP"}, {AUTH, "AUTH"}, {Type(0), "RESERVED"},
		{TopicAlias, "Topic Alias"}, {PropertyID(0x00), "property 0x00"}, {PropertyID(0xFF), "property 0xff"},
		{FromClient, "client"}, {FromServer, "server"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if got := (&Error{TopicAliasInvalid, "Topic Alias is 0"}).Error(); got != "topic_alias_invalid: Topic Alias is 0" {
		t.Errorf("error reads %q", got)
	}
}

// TestConnackV3: 3.1.1, table 3.1.
func TestConnackV3(t *testing.T) {
	want := map[byte][]ReasonCode{
		0: {Success, GrantedQoS2, ContinueAuthentication},
		1: {UnsupportedProtocolVersion},
		2: {ClientIDNotValid},
		3: {ServerUnavailable, ServerBusy, ServerShuttingDown, UnspecifiedError, QuotaExceeded, UseAnotherServer, ServerMoved, ConnectionRateExceeded},
		4: {BadUserNameOrPassword, BadAuthenticationMethod},
		5: {NotAuthorized, Banned, TopicNameInvalid, RetainNotSupported, MalformedPacket, WildcardsUnsupported},
	}
	for v3, codes := range want {
		for _, c := range codes {
			if got := c.ConnackV3(); got != v3 {
				t.Errorf("%v: %d, want %d", c, got, v3)
			}
		}
	}
}

func TestValidString(t *testing.T) {
	for _, c := range []struct {
		s    string
		want bool
	}{
		{"", true}, {"a/b", true}, {"\x01\x7F", true}, {"\uFEFFa", true}, {"\uFFFF", true}, {"\U0010FFFF", true},
		{"a\x00", false}, {"\xED\xA0\x80", false}, {"\xED\xBF\xBF", false}, {"\xC0\x80", false},
		{"\xC3", false}, {"\xFF", false}, {"\xF4\x90\x80\x80", false},
		{strings.Repeat("x", 65_535), true}, {strings.Repeat("x", 65_536), false},
	} {
		if got := ValidString(c.s); got != c.want {
			t.Errorf("%.20q (%d bytes): %v", c.s, len(c.s), got)
		}
	}
}

// TestAppend: what encoding makes of what a version or a packet does not have.
func TestAppend(t *testing.T) {
	alien := Properties{WillDelay: 5, ContentType: "t", ReasonString: "why"}
	alien.Set(WillDelay)
	alien.Set(ContentType)
	alien.Set(ReasonString)
	refused := &Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS1, NotAuthorized, TopicFilterInvalid}}
	for _, c := range []struct {
		name string
		v    Version
		p    anyPacket
		want []byte
	}{
		{"PUBLISH leaves out a will's delay and an acknowledgement's reason", V5, &Publish{Topic: "a", Props: alien}, []byte{0x30, 8, 0, 1, 'a', 4, 0x03, 0, 1, 't'}},
		{"PUBACK whose properties all belong elsewhere is short", V5, &Ack{Type: PUBACK, PacketID: 1, Props: Properties{SubscriptionIDs: []uint32{1}}}, []byte{0x40, 2, 0, 1}},
		{"PUBLISH of 3.1.1 has no properties", V311, &Publish{Topic: "a", Props: alien}, []byte{0x30, 3, 0, 1, 'a'}},
		{"PUBREC of 3.1.1 has no reason", V311, &Ack{Type: PUBREC, PacketID: 1, Code: QuotaExceeded, Props: alien}, []byte{0x50, 2, 0, 1}},
		{"DISCONNECT of 3.1.1 is bare", V311, &Disconnect{Code: ServerBusy, Props: alien}, []byte{0xE0, 0}},
		{"DISCONNECT 0x00 is bare", V5, &Disconnect{}, []byte{0xE0, 0}},
		{"DISCONNECT without properties is a code", V5, &Disconnect{Code: ServerBusy}, []byte{0xE0, 1, 0x89}},
		{"AUTH without properties keeps their length", V5, &Auth{Code: ContinueAuthentication}, []byte{0xF0, 2, 0x18, 0}},
		{"SUBACK of 5 keeps its codes", V5, refused, []byte{0x90, 6, 0, 1, 0, 1, 0x87, 0x8F}},
		{"SUBACK of 3.1.1 refuses with 0x80", V311, refused, []byte{0x90, 5, 0, 1, 1, 0x80, 0x80}},
		{"SUBACK of 3.1 cannot refuse", V31, refused, []byte{0x90, 5, 0, 1, 1, 0, 0}},
		{"UNSUBACK of 3.1.1 has no codes", V311, &Unsuback{PacketID: 1, Codes: []ReasonCode{Success}}, []byte{0xB0, 2, 0, 1}},
		{"CONNACK of 3.1.1 takes the nearest code", V311, &Connack{Code: Banned, SessionPresent: true}, []byte{0x20, 2, 0, 5}},
		{"CONNACK of 3.1.1 keeps a return code", V311, &Connack{Code: 2}, []byte{0x20, 2, 0, 2}},
		{"CONNACK of 3.1 has no session present", V31, &Connack{SessionPresent: true}, []byte{0x20, 2, 0, 0}},
		{"CONNACK that refuses has no session present", V5, &Connack{SessionPresent: true, Code: Banned}, []byte{0x20, 3, 0, 0x8A, 0}},
		{"SUBSCRIBE of 3.1.1 has the QoS alone", V311, &Subscribe{PacketID: 1, Filters: []FilterOptions{{"a", 1, true, true, 2}}}, []byte{0x82, 6, 0, 1, 0, 1, 'a', 1}},
	} {
		if got := c.p.Append(nil, c.v); !bytes.Equal(got, c.want) || c.p.Size(c.v) != len(got) {
			t.Errorf("%s:\n got % x (Size %d)\nwant % x", c.name, got, c.p.Size(c.v), c.want)
		}
	}
}

// TestAppendPanics: what cannot be written is not written.
func TestAppendPanics(t *testing.T) {
	long := strings.Repeat("x", 65_536)
	for name, f := range map[string]func(){
		"topic":           func() { (&Publish{Topic: long}).Append(nil, V5) },
		"user property":   func() { (&Publish{Props: Properties{User: []UserProperty{{"k", long}}}}).Append(nil, V5) },
		"varint":          func() { AppendVarint(nil, MaxLength+1) },
		"negative varint": func() { AppendVarint(nil, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestConnectVersion: an error after the level leaves the version with which to
// answer it; before, there is none.
func TestConnectVersion(t *testing.T) {
	for _, c := range []struct {
		body string
		code ReasonCode
		want Version
	}{
		{"\x00\x04MQTT\x05\x03", MalformedPacket, V5},
		{"\x00\x04MQTT\x04\x03", MalformedPacket, V311},
		{"\x00\x06MQIsdp\x03", MalformedPacket, V31},
		{"\x00\x04MQTT", MalformedPacket, 0},
		{"\x00\x04MQTT\x06\x02", UnsupportedProtocolVersion, 0},
	} {
		p := Connect{Version: V5}
		err, _ := p.Decode([]byte(c.body)).(*Error)
		if err == nil || err.Code != c.code || p.Version != c.want {
			t.Errorf("%q: %v, version %v, want %v, %v", c.body, err, p.Version, c.code, c.want)
		}
	}
}

// TestDecodeAlone: Decode itself, before anybody asks CheckFrom, refuses codes
// and properties that are not the packet's, and says which.
func TestDecodeAlone(t *testing.T) {
	for _, c := range []struct {
		t          Type
		body, want string
	}{
		{DISCONNECT, "\x84", "protocol_error: unsupported_protocol_version is not a reason code of DISCONNECT"},
		{AUTH, "\x87\x04\x15\x00\x01m", "protocol_error: not_authorized is not a reason code of AUTH"},
		{PUBACK, "\x00\x01\x92", "protocol_error: packet_identifier_not_found is not a reason code of PUBACK"},
		{PUBLISH, "\x00\x01a\x05\x18\x00\x00\x00\x01", "malformed_packet: Will Delay Interval does not belong in PUBLISH"},
		{CONNECT, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00\x03\x23\x00\x01", "malformed_packet: Topic Alias does not belong in a will"},
	} {
		err := newPacket(c.t).Decode(V5, Header{Type: c.t, Flags: fixedFlags(c.t)}, []byte(c.body))
		if err == nil || err.Error() != c.want {
			t.Errorf("%v %q:\n got %v\nwant %s", c.t, c.body, err, c.want)
		}
	}
}
