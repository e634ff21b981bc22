package core

import (
	"time"

	"lunamq/core/packet"
)

// Turn is the part that all events share: what is to happen once the event is
// decided, and the notice before a hook waits. Hooks get it with their event
// and may use it until they return.
type Turn struct {
	effects []effect
	made    *int   // script-made messages of the originating event, in all
	round   *round // of the goroutine that asks; nil outside a broker
}

type effect struct {
	always bool
	do     func()
}

// After queues do to run once the event is decided, in order: for pass, allow
// and drop; with always also for deny, disconnect and errors.
func (t *Turn) After(always bool, do func()) {
	t.effects = append(t.effects, effect{always, do})
}

// Effects returns how many effects are queued, and Truncate takes back those
// beyond n: a hook whose call failed takes back what the call had queued.
func (t *Turn) Effects() int { return len(t.effects) }

// Truncate keeps the first n effects, and of the rest those with always.
func (t *Turn) Truncate(n int) {
	kept := t.effects[:n]
	for _, e := range t.effects[n:] {
		if e.always {
			kept = append(kept, e)
		}
	}
	clear(t.effects[len(kept):])
	t.effects = kept
}

// BeforeWait is called by a hook before it may wait (for a lock, a network):
// what the connection has appended to others' outboxes goes out first, and
// other connections do not wait with it.
func (t *Turn) BeforeWait() {
	if t.round != nil {
		t.round.mayWait()
	}
}

// settle runs the effects of a decided event. A panic is counted and ends
// nothing but its effect.
func (t *Turn) settle(refused bool) {
	for i := 0; i < len(t.effects); i++ {
		if e := t.effects[i]; e.always || !refused {
			t.run(e.do)
		}
	}
	clear(t.effects)
	t.effects = t.effects[:0]
}

func (t *Turn) run(do func()) {
	if t.round != nil {
		defer t.round.b.recoverHook("effect")
	}
	do()
}

// ConnectEvent: a CONNECT was decoded; nothing is registered yet. A hook may
// change what SCRIPT-API.md marks so: ClientID, Username, KeepAlive,
// SessionExpiry, Will, Vars, Mount, Limits, Reply.
type ConnectEvent struct {
	Turn
	ClientID          string // "" if none was sent
	Username          string
	HasUsername       bool
	Password          []byte // nil if none was sent
	Protocol          packet.Version
	CleanStart        bool
	KeepAlive         uint16 // seconds, 0 none
	SessionExpiry     uint32 // seconds, 0xFFFFFFFF never
	ReceiveMaximum    uint16
	MaximumPacketSize uint32 // 0 no limit
	UserProperties    []packet.UserProperty
	Will              *Message // nil without
	WillDelay         uint32   // seconds
	Remote            string
	Listener          string
	TLS               *TLSInfo
	Vars              *Vars
	Mount             string
	Limits            Limits
	Reply             ConnectReply
}

// Limits are one client's bounds. They start as the listener's; a connect hook
// may change them. A zero rate is no limit.
type Limits struct {
	PublishRate   float64 // messages per second
	PublishBytes  float64 // payload bytes per second
	Inflight      int     // messages unacknowledged at once, either way
	Queued        int     // messages waiting
	PacketSize    int     // bytes of a packet from the client
	Subscriptions int
}

// ConnectReply is what a connect hook adds to the CONNACK of MQTT 5.
type ConnectReply struct {
	UserProperties      []packet.UserProperty
	ResponseInformation string // sent if the client asked for it
	ServerReference     string // with use_another_server and server_moved
}

// AuthEvent: one step of an MQTT 5 enhanced authentication, at CONNECT (Step
// 1) or later (re-authentication).
type AuthEvent struct {
	Turn
	Client *Client
	Method string
	Data   []byte
	Step   int  // 1 for CONNECT or the AUTH that starts a re-authentication
	Again  bool // re-authentication
}

// AuthAnswer is what an authentication hook says: Decision Allow with Data for
// the CONNACK or last AUTH, Continue with Data for the next AUTH, Deny, or Pass
// for a method it does not know.
type AuthAnswer struct {
	Decision
	Continue bool
	Data     []byte
}

// ConnectedEvent is told after the CONNACK.
type ConnectedEvent struct {
	Turn
	Client         *Client
	SessionPresent bool
}

// By says which side ended a connection.
type By string

// Who ends connections.
const (
	ByClient   By = "client"
	ByBroker   By = "broker"
	ByNetwork  By = "network"
	ByTakeover By = "takeover"
	ByScript   By = "script"
)

// DisconnectedEvent is told when a connection has ended.
type DisconnectedEvent struct {
	Turn
	Client *Client
	Reason packet.ReasonCode
	Text   string
	By     By
	Will   string // "sent", "delayed", "discarded", or "" without a will
}

// PublishEvent: a message was published, after validation and topic alias,
// before retain, storage and routing.
type PublishEvent struct {
	Turn
	Client  *Client
	Message *Message

	allowed bool // of a will: its hooks have authorised it
}

// WillEvent: a will is about to be sent.
type WillEvent struct {
	Turn
	Client  *Client
	Message *Message
	Delay   uint32            // seconds, as asked for
	Reason  packet.ReasonCode // why the connection ended
	Text    string
}

// SubscribeEvent: one requested filter, before anything is stored. All but
// Share, Identifier and Client may be changed; QoS is only lowered.
type SubscribeEvent struct {
	Turn
	Client            *Client
	Filter            string // without $share/group/
	Share             string // the group, "" if none
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
	Identifier        uint32 // 0 none
}

// UnsubscribeEvent: one filter the client wants to leave.
type UnsubscribeEvent struct {
	Turn
	Client *Client
	Filter string // as the client wrote it, without $share/group/
	Share  string
}

// SubscriptionEvent is told after a subscription or unsubscription took effect.
type SubscriptionEvent struct {
	Turn
	Client *Client
	Filter string // with $share/group/
	QoS    byte
}

// DeliverEvent: a message leaves the receiver's queue for its connection. The
// message is this receiver's own copy.
type DeliverEvent struct {
	Turn
	Client  *Client // the receiver
	Message *Message
	Filter  string // of the subscription that brought it
	QoS     byte   // granted
}

// Cause says why a message was lost on purpose.
type Cause string

// The causes of lost messages.
const (
	CauseQueueFull    Cause = "queue_full"
	CauseExpired      Cause = "expired"
	CauseTooLarge     Cause = "too_large"
	CauseSlowConsumer Cause = "slow_consumer"
	CauseScript       Cause = "script"
	CauseACL          Cause = "acl"
	CauseNoSubscriber Cause = "no_subscriber"
	CauseOfflineQoS0  Cause = "offline_qos0"
	CauseSessionEnded Cause = "session_ended"
	CauseStore        Cause = "store"
	CauseRate         Cause = "rate" // the client's publish_rate or publish_bytes
)

// DroppedEvent is told, outside all locks, when a message was lost on purpose.
type DroppedEvent struct {
	Turn
	Client    *Client // the receiver, nil where there is none
	Publisher *Client
	Message   *Message // read-only
	Cause     Cause
}

// AckedEvent is told when a receiver has completed a QoS 1 or 2 message: by
// PUBACK or PUBCOMP, not where its reason code is an error.
type AckedEvent struct {
	Turn
	Client *Client // the receiver
	Topic  string  // without the receiver's mount
	QoS    byte    // as sent to the receiver
}

// Why sessions end.
const (
	SessionExpired         = "expired"          // its time without a connection is over
	SessionCleanStart      = "clean_start"      // its client began anew [MQTT-3.1.2-4]
	SessionConnectionEnded = "connection_ended" // it was to end with its connection
)

// SessionEndedEvent is told when a session is no more. Client holds the facts
// of its last connection.
type SessionEndedEvent struct {
	Turn
	Client *Client
	Reason string
}

// Direction is which way a packet goes.
type Direction uint8

// The directions of packets, as the broker sees them.
const (
	PacketIn Direction = iota
	PacketOut
)

// String returns the direction's name as rules write it.
func (d Direction) String() string { return [...]string{"in", "out"}[d] }

// PacketEvent: a control packet has come and was not handled yet, or is about
// to leave. A hook may assign Bytes, which nobody validates on the way out, and
// which are handled as if they had come so on the way in; Delay, by which others
// overtake it; and Copies, sent or handled right after it. Bytes are lent until
// the hook returns, and not to be written into. Drop makes the packet vanish, so
// does Deny.
type PacketEvent struct {
	Turn
	Client    *Client // nil before a CONNECT was accepted
	Direction Direction
	Type      packet.Type
	Bytes     []byte
	Delay     time.Duration // at most MaxPacketDelay
	Copies    int           // beside the packet itself, at most MaxPacketCopies
}

// AccessEvent asks an ACL whether a client may do what it asks for.
type AccessEvent struct {
	Client *Client
	Action Action
	Topic  string // a topic name, or a filter without $share/group/
	QoS    byte
	Retain bool
}

// Action is what an AccessEvent is about.
type Action uint8

// The actions that are authorised.
const (
	ActionPublish Action = iota
	ActionSubscribe
)
