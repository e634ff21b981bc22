package scripting

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// trialType is an event that can be tried, of any Go type.
type trialType interface {
	keys() []string // of the table that describes it
	event() shownEvent
	make(b *builder) (ev any, err error)
	ask(g *generation, ev any) core.Decision
}

// trials are the functions of try. A new event is a row here.
var trials = map[string]trialType{
	"connect":      trialConnect,
	"connected":    trialConnected,
	"disconnected": trialDisconnected,
	"publish":      trialPublish,
	"will":         trialWill,
	"deliver":      trialDeliver,
	"dropped":      trialDropped,
	"subscribe":    trialSubscribe,
	"unsubscribe":  trialUnsubscribe,
	"subscribed":   trialSubscription(subscribedEvent),
	"unsubscribed": trialSubscription(unsubscribedEvent),

	"authenticate":  trialAuthenticate,
	"acked":         trialAcked,
	"session_ended": trialSessionEnded,
	"packet":        trialPacket,
}

var trialNames = slices.Sorted(maps.Keys(trials))

// trialEvent makes events of one type out of tables.
type trialEvent[T any] struct {
	of    *event[T]
	names []string
	build func(b *builder) *T
	turn  func(*T) *core.Turn
}

func (k *trialEvent[T]) keys() []string    { return k.names }
func (k *trialEvent[T]) event() shownEvent { return k.of }

func (k *trialEvent[T]) make(b *builder) (any, error) {
	ev := k.build(b)
	return ev, b.err
}

// ask puts the event to the handlers, and does what they asked for once it is
// decided, as core does.
func (k *trialEvent[T]) ask(g *generation, ev any) core.Decision {
	v := ev.(*T)
	turn := k.turn(v)
	d := askHooks(g, k.of, turn, v)
	turn.Settle(d.Verdict == core.Deny || d.Verdict == core.Disconnect)
	return d
}

// trialKeys are keys of a table, sorted for error texts.
func trialKeys(names ...string) []string { return slices.Sorted(slices.Values(names)) }

// trialMessageKeys are keys of a table that describes a message and more.
func trialMessageKeys(names ...string) []string {
	return trialKeys(slices.Concat(messageKeys, []string{"client", "dup"}, names)...)
}

var trialPublish = &trialEvent[core.PublishEvent]{
	of:    publishEvent,
	names: trialMessageKeys("origin"),
	build: func(b *builder) *core.PublishEvent {
		c, o := b.client("client"), b.origin()
		if !b.given("client") && o != core.OriginClient && o != core.OriginWill {
			c = &core.Client{ID: "$" + o.String()} // as the broker names those who are no client
		}
		return &core.PublishEvent{Client: c, Message: b.message(o, c)}
	},
	turn: func(ev *core.PublishEvent) *core.Turn { return &ev.Turn },
}

// origin is who made a message, a client if it is not said.
func (b *builder) origin() core.Origin {
	return convert(b, "origin", core.OriginClient, func(x lua.LValue) (core.Origin, error) {
		for o := range core.OriginBroker {
			if origin(o) == x {
				return o, nil
			}
		}
		return 0, fmt.Errorf(`must be "client", "will", "script", "bridge" or "admin", not %s`, describe(x))
	})
}

var trialWill = &trialEvent[core.WillEvent]{
	of:    willEvent,
	names: trialMessageKeys("delay", "reason"),
	build: func(b *builder) *core.WillEvent {
		c := b.client("client")
		return &core.WillEvent{
			Client: c, Message: b.message(core.OriginWill, c),
			Delay:  uint32(b.integer("delay", 0, math.MaxUint32)),
			Reason: b.reason(packet.UnspecifiedError), // as for a connection that was lost
		}
	},
	turn: func(ev *core.WillEvent) *core.Turn { return &ev.Turn },
}

var trialDeliver = &trialEvent[core.DeliverEvent]{
	of:    deliverEvent,
	names: trialMessageKeys("subscription"),
	build: func(b *builder) *core.DeliverEvent {
		ev := &core.DeliverEvent{Client: b.client("client"), Message: b.message(core.OriginClient, nobody)}
		ev.Filter, ev.QoS = ev.Message.Topic, ev.Message.QoS
		if sub, ok := b.table("subscription", subscriptionKind.names); ok {
			ev.Filter = convert(sub, "filter", ev.Filter, toText)
			ev.QoS = sub.qos(ev.QoS)
			b.done(sub)
		}
		return ev
	},
	turn: func(ev *core.DeliverEvent) *core.Turn { return &ev.Turn },
}

// causes are the reasons of a lost message (SCRIPT-API.md, "dropped").
var causes = []string{
	string(core.CauseQueueFull), string(core.CauseExpired), string(core.CauseTooLarge), string(core.CauseSlowConsumer),
	string(core.CauseScript), string(core.CauseACL), string(core.CauseNoSubscriber), string(core.CauseOfflineQoS0),
	string(core.CauseSessionEnded), string(core.CauseStore), string(core.CauseRate),
}

var trialDropped = &trialEvent[core.DroppedEvent]{
	of:    droppedEvent,
	names: trialMessageKeys("publisher", "cause"),
	build: func(b *builder) *core.DroppedEvent {
		publisher := b.client("publisher")
		return &core.DroppedEvent{
			Client: b.client("client"), Publisher: publisher, Message: b.message(core.OriginClient, publisher),
			Cause: core.Cause(b.oneOf("cause", string(core.CauseQueueFull), causes)),
		}
	},
	turn: func(ev *core.DroppedEvent) *core.Turn { return &ev.Turn },
}

var trialConnect = &trialEvent[core.ConnectEvent]{
	of: connectEvent,
	names: trialKeys("client_id", "username", "password", "protocol", "clean_start", "keep_alive", "session_expiry",
		"receive_maximum", "maximum_packet_size", "user_properties", "will", "remote", "listener", "tls", "vars", "mount", "limits"),
	build: func(b *builder) *core.ConnectEvent {
		ev := &core.ConnectEvent{
			ClientID: b.text("client_id", "client-1"), HasUsername: b.given("username"), Username: b.text("username", ""),
			Protocol: b.protocol(), CleanStart: b.bool("clean_start", true),
			KeepAlive:         uint16(b.integer("keep_alive", 60, math.MaxUint16)),
			SessionExpiry:     uint32(b.integer("session_expiry", 0, math.MaxUint32)),
			ReceiveMaximum:    uint16(b.integer("receive_maximum", math.MaxUint16, math.MaxUint16)), // 3.1.2.11.3
			MaximumPacketSize: uint32(b.integer("maximum_packet_size", 0, math.MaxUint32)),
			UserProperties:    b.properties("user_properties"),
			Remote:            b.text("remote", trialRemote), Listener: b.text("listener", "local"), TLS: b.tls(),
			Vars:   convert(b, "vars", new(core.Vars), toVars),
			Mount:  convert(b, "mount", "", toMount),
			Limits: trialLimits(),
		}
		if b.given("password") {
			ev.Password = []byte(convert(b, "password", "", toBinary))
		}
		if x := b.from["will"]; x != nil {
			b.fail("will", setWill(b.c, ev, x))
		}
		if x := b.from["limits"]; x != nil {
			b.fail("limits", assignAll(b.c, limitsKind, &ev.Limits, x))
		}
		return ev
	},
	turn: func(ev *core.ConnectEvent) *core.Turn { return &ev.Turn },
}

// trialLimits are the defaults of a broker.
func trialLimits() core.Limits {
	o := core.DefaultOptions()
	return core.Limits{
		PublishRate: o.Listener.PublishRate, PublishBytes: o.Listener.PublishBytes, Inflight: o.Inflight,
		Queued: o.Queued, PacketSize: o.Listener.MaxPacketSize, Subscriptions: o.Subscriptions,
	}
}

var trialConnected = &trialEvent[core.ConnectedEvent]{
	of:    connectedEvent,
	names: trialKeys("client", "session_present"),
	build: func(b *builder) *core.ConnectedEvent {
		return &core.ConnectedEvent{Client: b.client("client"), SessionPresent: b.bool("session_present", false)}
	},
	turn: func(ev *core.ConnectedEvent) *core.Turn { return &ev.Turn },
}

var trialDisconnected = &trialEvent[core.DisconnectedEvent]{
	of:    disconnectedEvent,
	names: trialKeys("client", "reason", "text", "by", "will"),
	build: func(b *builder) *core.DisconnectedEvent {
		return &core.DisconnectedEvent{
			Client: b.client("client"), Reason: b.reason(packet.Success), Text: b.text("text", ""),
			By:   core.By(b.oneOf("by", "client", []string{"client", "broker", "network", "takeover", "script"})),
			Will: b.oneOf("will", "", []string{"sent", "delayed", "discarded"}),
		}
	},
	turn: func(ev *core.DisconnectedEvent) *core.Turn { return &ev.Turn },
}

// maxSubscriptionID is the largest subscription identifier (3.8.2.1.2).
const maxSubscriptionID = 268_435_455

var trialSubscribe = &trialEvent[core.SubscribeEvent]{
	of:    subscribeEvent,
	names: trialKeys("filter", "qos", "no_local", "retain_as_published", "retain_handling", "identifier", "client"),
	build: func(b *builder) *core.SubscribeEvent {
		filter, share := b.filter()
		return &core.SubscribeEvent{
			Client: b.client("client"), Filter: filter, Share: share, QoS: b.qos(0),
			NoLocal: b.bool("no_local", false), RetainAsPublished: b.bool("retain_as_published", false),
			RetainHandling: byte(b.integer("retain_handling", 0, 2)),
			Identifier:     uint32(b.integer("identifier", 0, maxSubscriptionID)),
		}
	},
	turn: func(ev *core.SubscribeEvent) *core.Turn { return &ev.Turn },
}

var trialUnsubscribe = &trialEvent[core.UnsubscribeEvent]{
	of:    unsubscribeEvent,
	names: trialKeys("filter", "client"),
	build: func(b *builder) *core.UnsubscribeEvent {
		filter, share := b.filter()
		return &core.UnsubscribeEvent{Client: b.client("client"), Filter: filter, Share: share}
	},
	turn: func(ev *core.UnsubscribeEvent) *core.Turn { return &ev.Turn },
}

// trialSubscription is subscribed and unsubscribed, whose filter keeps its group.
func trialSubscription(of *event[core.SubscriptionEvent]) trialType {
	return &trialEvent[core.SubscriptionEvent]{
		of:    of,
		names: trialKeys("filter", "qos", "client"),
		build: func(b *builder) *core.SubscriptionEvent {
			_, _ = b.filter() // checked; kept as it is
			return &core.SubscriptionEvent{Client: b.client("client"), Filter: b.text("filter", ""), QoS: b.qos(0)}
		},
		turn: func(ev *core.SubscriptionEvent) *core.Turn { return &ev.Turn },
	}
}

var trialAuthenticate = &trialEvent[exchange]{
	of:    authenticateEvent,
	names: trialKeys("method", "data", "step", "client"),
	build: func(b *builder) *exchange {
		ev := &core.AuthEvent{Client: b.client("client"), Method: b.text("method", ""), Step: int(b.integer("step", 1, math.MaxUint16))}
		if b.given("data") {
			ev.Data = []byte(convert(b, "data", "", toBinary))
		}
		return &exchange{AuthEvent: ev}
	},
	turn: func(ev *exchange) *core.Turn { return &ev.Turn },
}

var trialAcked = &trialEvent[core.AckedEvent]{
	of:    ackedEvent,
	names: trialKeys("topic", "qos", "client"),
	build: func(b *builder) *core.AckedEvent {
		return &core.AckedEvent{Client: b.client("client"), Topic: convert(b, "topic", "", toTopic), QoS: b.qos(1)}
	},
	turn: func(ev *core.AckedEvent) *core.Turn { return &ev.Turn },
}

// packetTypes are the names of control packets.
var packetTypes = func() (names []string) {
	for t := packet.CONNECT; t <= packet.AUTH; t++ {
		names = append(names, t.String())
	}
	return names
}()

var trialPacket = &trialEvent[core.PacketEvent]{
	of:    packetEvent,
	names: trialKeys("client", "direction", "type", "bytes"),
	build: func(b *builder) *core.PacketEvent {
		ev := &core.PacketEvent{Client: b.client("client"), Bytes: []byte(convert(b, "bytes", "", toBytes))}
		if b.oneOf("direction", "in", []string{"in", "out"}) == "out" {
			ev.Direction = core.PacketOut
		}
		ev.Type = packet.Type(1 + slices.Index(packetTypes, b.oneOf("type", "PUBLISH", packetTypes)))
		return ev
	},
	turn: func(ev *core.PacketEvent) *core.Turn { return &ev.Turn },
}

var trialSessionEnded = &trialEvent[core.SessionEndedEvent]{
	of:    sessionEndedEvent,
	names: trialKeys("client_id", "reason"),
	build: func(b *builder) *core.SessionEndedEvent {
		reasons := []string{core.SessionExpired, core.SessionCleanStart, core.SessionConnectionEnded}
		return &core.SessionEndedEvent{
			Client: &core.Client{ID: b.text("client_id", "client-1")}, Reason: b.oneOf("reason", core.SessionExpired, reasons),
		}
	},
	turn: func(ev *core.SessionEndedEvent) *core.Turn { return &ev.Turn },
}

// fireTable makes an event of a table and puts it to the rules.
func (t *trial) fireTable(L *lua.LState, c *call, k trialType, table *lua.LTable) (*result, error) {
	if t.ctx.Err() != nil {
		return nil, context.Cause(t.ctx)
	}
	b, err := newBuilder(t, c, table, k.keys())
	if err != nil {
		return nil, err
	}
	ev, err := k.make(b)
	if err != nil {
		return nil, err
	}
	return t.fire(L, k, ev), nil
}

// maxAdvance bounds clock.advance: a century.
const maxAdvance = 100 * 365 * 24 * time.Hour
