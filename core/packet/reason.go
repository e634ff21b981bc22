package packet

import (
	"maps"
	"slices"
)

// ReasonCode is an MQTT 5 reason code (table 2-6). Values from 0x80 on refuse.
type ReasonCode byte

// The reason codes of MQTT 5.
const (
	Success                        ReasonCode = 0x00
	GrantedQoS1                    ReasonCode = 0x01
	GrantedQoS2                    ReasonCode = 0x02
	DisconnectWithWill             ReasonCode = 0x04
	NoMatchingSubscribers          ReasonCode = 0x10
	NoSubscriptionExisted          ReasonCode = 0x11
	ContinueAuthentication         ReasonCode = 0x18
	ReAuthenticate                 ReasonCode = 0x19
	UnspecifiedError               ReasonCode = 0x80
	MalformedPacket                ReasonCode = 0x81
	ProtocolError                  ReasonCode = 0x82
	ImplementationSpecificError    ReasonCode = 0x83
	UnsupportedProtocolVersion     ReasonCode = 0x84
	ClientIDNotValid               ReasonCode = 0x85
	BadUserNameOrPassword          ReasonCode = 0x86
	NotAuthorized                  ReasonCode = 0x87
	ServerUnavailable              ReasonCode = 0x88
	ServerBusy                     ReasonCode = 0x89
	Banned                         ReasonCode = 0x8A
	ServerShuttingDown             ReasonCode = 0x8B
	BadAuthenticationMethod        ReasonCode = 0x8C
	KeepAliveTimeout               ReasonCode = 0x8D
	SessionTakenOver               ReasonCode = 0x8E
	TopicFilterInvalid             ReasonCode = 0x8F
	TopicNameInvalid               ReasonCode = 0x90
	PacketIDInUse                  ReasonCode = 0x91
	PacketIDNotFound               ReasonCode = 0x92
	ReceiveMaximumExceeded         ReasonCode = 0x93
	TopicAliasInvalid              ReasonCode = 0x94
	PacketTooLarge                 ReasonCode = 0x95
	MessageRateTooHigh             ReasonCode = 0x96
	QuotaExceeded                  ReasonCode = 0x97
	AdministrativeAction           ReasonCode = 0x98
	PayloadFormatInvalid           ReasonCode = 0x99
	RetainNotSupported             ReasonCode = 0x9A
	QoSNotSupported                ReasonCode = 0x9B
	UseAnotherServer               ReasonCode = 0x9C
	ServerMoved                    ReasonCode = 0x9D
	SharedSubscriptionsUnsupported ReasonCode = 0x9E
	ConnectionRateExceeded         ReasonCode = 0x9F
	MaximumConnectTime             ReasonCode = 0xA0
	SubscriptionIDsUnsupported     ReasonCode = 0xA1
	WildcardsUnsupported           ReasonCode = 0xA2
)

// reason is one row of table 2-6.
type reason struct {
	name string
	in   uint16 // a bit per Type
}

// table26 is table 2-6. Its three names for 0x00 are "success" here; see aliases.
var table26 = [256]reason{
	Success:                        {"success", in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)},
	GrantedQoS1:                    {"granted_qos_1", in(SUBACK)},
	GrantedQoS2:                    {"granted_qos_2", in(SUBACK)},
	DisconnectWithWill:             {"disconnect_with_will_message", in(DISCONNECT)},
	NoMatchingSubscribers:          {"no_matching_subscribers", in(PUBACK, PUBREC)},
	NoSubscriptionExisted:          {"no_subscription_existed", in(UNSUBACK)},
	ContinueAuthentication:         {"continue_authentication", in(AUTH)},
	ReAuthenticate:                 {"re_authenticate", in(AUTH)},
	UnspecifiedError:               {"unspecified_error", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	MalformedPacket:                {"malformed_packet", in(CONNACK, DISCONNECT)},
	ProtocolError:                  {"protocol_error", in(CONNACK, DISCONNECT)},
	ImplementationSpecificError:    {"implementation_specific_error", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	UnsupportedProtocolVersion:     {"unsupported_protocol_version", in(CONNACK)},
	ClientIDNotValid:               {"client_identifier_not_valid", in(CONNACK)},
	BadUserNameOrPassword:          {"bad_user_name_or_password", in(CONNACK)},
	NotAuthorized:                  {"not_authorized", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	ServerUnavailable:              {"server_unavailable", in(CONNACK)},
	ServerBusy:                     {"server_busy", in(CONNACK, DISCONNECT)},
	Banned:                         {"banned", in(CONNACK)},
	ServerShuttingDown:             {"server_shutting_down", in(DISCONNECT)},
	BadAuthenticationMethod:        {"bad_authentication_method", in(CONNACK, DISCONNECT)},
	KeepAliveTimeout:               {"keep_alive_timeout", in(DISCONNECT)},
	SessionTakenOver:               {"session_taken_over", in(DISCONNECT)},
	TopicFilterInvalid:             {"topic_filter_invalid", in(SUBACK, UNSUBACK, DISCONNECT)},
	TopicNameInvalid:               {"topic_name_invalid", in(CONNACK, PUBACK, PUBREC, DISCONNECT)},
	PacketIDInUse:                  {"packet_identifier_in_use", in(PUBACK, PUBREC, SUBACK, UNSUBACK)},
	PacketIDNotFound:               {"packet_identifier_not_found", in(PUBREL, PUBCOMP)},
	ReceiveMaximumExceeded:         {"receive_maximum_exceeded", in(DISCONNECT)},
	TopicAliasInvalid:              {"topic_alias_invalid", in(DISCONNECT)},
	PacketTooLarge:                 {"packet_too_large", in(CONNACK, DISCONNECT)},
	MessageRateTooHigh:             {"message_rate_too_high", in(DISCONNECT)},
	QuotaExceeded:                  {"quota_exceeded", in(CONNACK, PUBACK, PUBREC, SUBACK, DISCONNECT)},
	AdministrativeAction:           {"administrative_action", in(DISCONNECT)},
	PayloadFormatInvalid:           {"payload_format_invalid", in(CONNACK, PUBACK, PUBREC, DISCONNECT)},
	RetainNotSupported:             {"retain_not_supported", in(CONNACK, DISCONNECT)},
	QoSNotSupported:                {"qos_not_supported", in(CONNACK, DISCONNECT)},
	UseAnotherServer:               {"use_another_server", in(CONNACK, DISCONNECT)},
	ServerMoved:                    {"server_moved", in(CONNACK, DISCONNECT)},
	SharedSubscriptionsUnsupported: {"shared_subscriptions_not_supported", in(SUBACK, DISCONNECT)},
	ConnectionRateExceeded:         {"connection_rate_exceeded", in(CONNACK, DISCONNECT)},
	MaximumConnectTime:             {"maximum_connect_time", in(DISCONNECT)},
	SubscriptionIDsUnsupported:     {"subscription_identifiers_not_supported", in(SUBACK, DISCONNECT)},
	WildcardsUnsupported:           {"wildcard_subscriptions_not_supported", in(SUBACK, DISCONNECT)},
}

// aliases are the names that table 2-6 gives 0x00 in DISCONNECT and SUBACK.
var aliases = [...]string{"normal_disconnection", "granted_qos_0"}

var reasonsByName = func() map[string]ReasonCode {
	names := make(map[string]ReasonCode)
	for c := range table26 {
		if table26[c].name != "" {
			names[table26[c].name] = ReasonCode(c)
		}
	}
	for _, name := range aliases {
		names[name] = Success
	}
	return names
}()

// String returns the code's name of table 2-6 in snake_case, such as
// "not_authorized"; "success" for 0x00 and "reason 0x7f" for a code without a name.
func (c ReasonCode) String() string {
	if name := table26[c].name; name != "" {
		return name
	}
	return "reason 0x" + hexByte(byte(c))
}

// ReasonByName returns the code of a name as String writes it; 0x00 has the
// further names "normal_disconnection" and "granted_qos_0".
func ReasonByName(name string) (ReasonCode, bool) {
	c, ok := reasonsByName[name]
	return c, ok
}

// ReasonNames returns the names that ReasonByName knows, sorted.
func ReasonNames() []string { return slices.Sorted(maps.Keys(reasonsByName)) }

// IsError says whether the code refuses or fails: 0x80 and above (2.4).
func (c ReasonCode) IsError() bool { return c >= 0x80 }

// AllowedIn says whether a packet of type t may carry the code (table 2-6).
func (c ReasonCode) AllowedIn(t Type) bool { return table26[c].in&(1<<t) != 0 }

// AllowedFrom says whether s may send the code in a packet of type t: AllowedIn,
// narrowed by the columns "sent by" of tables 3-10 (DISCONNECT) and 3-11 (AUTH)
// and what 3.4.2.1 and 3.5.2.1 say of 0x10.
func (c ReasonCode) AllowedFrom(s Sender, t Type) bool {
	if !c.AllowedIn(t) {
		return false
	}
	switch c {
	case DisconnectWithWill, ReAuthenticate:
		return s == FromClient
	case NoMatchingSubscribers:
		return s == FromServer
	case Success:
		return t != AUTH || s == FromServer
	}
	return t != DISCONNECT || s == FromServer || clientDisconnects(c)
}

// clientDisconnects says whether a client may send the code in DISCONNECT (table 3-10).
func clientDisconnects(c ReasonCode) bool {
	switch c {
	case UnspecifiedError, MalformedPacket, ProtocolError, ImplementationSpecificError,
		TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid, PacketTooLarge,
		MessageRateTooHigh, QuotaExceeded, AdministrativeAction, PayloadFormatInvalid:
		return true
	}
	return false
}

// ConnackV3 returns the CONNACK return code of 3.1.1 (table 3.1) that comes
// nearest: 0 accepted, 1 unacceptable protocol version, 2 identifier rejected,
// 3 server unavailable, 4 bad user name or password, 5 not authorized. What 3.x
// has no word for is 3 when it lies with the server and may pass, else 5.
func (c ReasonCode) ConnackV3() byte {
	switch c {
	case UnsupportedProtocolVersion:
		return 1
	case ClientIDNotValid:
		return 2
	case UnspecifiedError, ImplementationSpecificError, ServerUnavailable, ServerBusy,
		ServerShuttingDown, QuotaExceeded, MessageRateTooHigh, UseAnotherServer, ServerMoved,
		ConnectionRateExceeded:
		return 3
	case BadUserNameOrPassword, BadAuthenticationMethod:
		return 4
	}
	if c.IsError() {
		return 5
	}
	return 0
}

// hexByte writes a byte as two digits.
func hexByte(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
