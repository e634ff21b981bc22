package core

import (
	"fmt"
	"runtime/debug"
	"strings"

	"lunamq/core/packet"
)

// The hooks: small interfaces of which a value implements what it wants. They
// are called on the goroutine that handles the client's packet, with no lock
// held; one that waits makes that client wait and nobody else.
type (
	// ConnectHook judges a CONNECT.
	ConnectHook interface{ OnConnect(*ConnectEvent) Decision }
	// AuthHook takes part in enhanced authentication.
	AuthHook interface{ OnAuth(*AuthEvent) AuthAnswer }
	// ConnectedHook is told after the CONNACK.
	ConnectedHook interface{ OnConnected(*ConnectedEvent) }
	// DisconnectedHook is told when a connection has ended.
	DisconnectedHook interface{ OnDisconnected(*DisconnectedEvent) }
	// AccessHook authorises what a client asked for; it changes nothing.
	AccessHook interface{ OnAccess(*AccessEvent) Decision }
	// PublishHook intercepts messages: it may change, deny, drop.
	PublishHook interface{ OnPublish(*PublishEvent) Decision }
	// PublishFilter is implemented by publish hooks that want certain topics
	// alone: a topic that no hook wants is not put to any. The answer for a
	// topic must not change as long as the hook is registered.
	PublishFilter interface{ WantsPublish(topic string) bool }
	// WillHook intercepts wills that are about to be sent.
	WillHook interface{ OnWill(*WillEvent) Decision }
	// SubscribeHook judges one requested filter.
	SubscribeHook interface {
		OnSubscribe(*SubscribeEvent) Decision
	}
	// SubscribedHook is told of a subscription.
	SubscribedHook interface{ OnSubscribed(*SubscriptionEvent) }
	// UnsubscribeHook judges one filter a client wants to leave.
	UnsubscribeHook interface {
		OnUnsubscribe(*UnsubscribeEvent) Decision
	}
	// UnsubscribedHook is told of a subscription that ended by UNSUBSCRIBE.
	UnsubscribedHook interface{ OnUnsubscribed(*SubscriptionEvent) }
	// DeliverHook intercepts a message on its way to one receiver. Only
	// messages whose topic WantsDeliver are put to OnDeliver; the topic is
	// without the receiver's mount. WantsDeliver is asked with the receiver's
	// lock held: it must not wait, nor call the broker.
	DeliverHook interface {
		WantsDeliver(topic string) bool
		OnDeliver(*DeliverEvent) Decision
	}
	// DroppedHook is told of messages that were lost on purpose. What it
	// publishes with its event's Turn raises no such event again.
	DroppedHook interface{ OnDropped(*DroppedEvent) }
	// AckedHook is told when a receiver has completed a QoS 1 or 2 message.
	AckedHook interface{ OnAcked(*AckedEvent) }
	// SessionEndedHook is told of sessions that expired or were removed.
	SessionEndedHook interface{ OnSessionEnded(*SessionEndedEvent) }
	// PacketHook is shown every control packet, in and out, where
	// Options.Packets is set, for experiments with the protocol.
	PacketHook interface{ OnPacket(*PacketEvent) Decision }
)

// registration is what one owner registered.
type registration struct {
	owner string
	hooks []any
}

// hookTable is the immutable table of hooks, sorted by kind.
type hookTable struct {
	registered   []registration
	connect      []ConnectHook
	auth         []AuthHook
	connected    []ConnectedHook
	disconnected []DisconnectedHook
	access       []AccessHook
	publish      []PublishHook
	will         []WillHook
	subscribe    []SubscribeHook
	subscribed   []SubscribedHook
	unsubscribe  []UnsubscribeHook
	unsubscribed []UnsubscribedHook
	deliver      []DeliverHook
	dropped      []DroppedHook
	acked        []AckedHook
	sessionEnded []SessionEndedHook
	packet       []PacketHook
}

// add sorts one hook into the table and says whether it is any.
func (t *hookTable) add(h any) bool {
	n := 0
	n += appendIf(&t.connect, h)
	n += appendIf(&t.auth, h)
	n += appendIf(&t.connected, h)
	n += appendIf(&t.disconnected, h)
	n += appendIf(&t.access, h)
	n += appendIf(&t.publish, h)
	n += appendIf(&t.will, h)
	n += appendIf(&t.subscribe, h)
	n += appendIf(&t.subscribed, h)
	n += appendIf(&t.unsubscribe, h)
	n += appendIf(&t.unsubscribed, h)
	n += appendIf(&t.deliver, h)
	n += appendIf(&t.dropped, h)
	n += appendIf(&t.acked, h)
	n += appendIf(&t.sessionEnded, h)
	n += appendIf(&t.packet, h)
	return n > 0
}

func appendIf[H any](list *[]H, h any) int {
	if x, ok := h.(H); ok {
		*list = append(*list, x)
		return 1
	}
	return 0
}

// Register makes hooks the hooks of owner, in place of those it had: all of
// them from one moment on. A first registration goes behind the others; none
// takes the owner out. It refuses a value that has no hook method.
func (b *Broker) Register(owner string, hooks ...any) error {
	b.registerMu.Lock()
	defer b.registerMu.Unlock()
	var next hookTable
	replaced := false
	for _, r := range b.hooks.Load().registered {
		if r.owner == owner {
			r.hooks, replaced = hooks, true
		}
		next.registered = append(next.registered, r)
	}
	if !replaced {
		next.registered = append(next.registered, registration{owner, hooks})
	}
	for _, r := range next.registered {
		for _, h := range r.hooks {
			if !next.add(h) {
				return fmt.Errorf("register %s: %T has no hook method", r.owner, h)
			}
		}
	}
	b.hooks.Store(&next)
	return nil
}

// ask puts an event to hooks in order until one refuses. An Allow is kept and
// asking goes on: a later hook may still refuse. A panic refuses.
func ask[H any](r *round, hooks []H, call func(H) Decision) (d Decision) {
	if len(hooks) == 0 {
		return d
	}
	r.beforeHooks()
	for _, h := range hooks {
		switch got := guard(r.b, h, call); {
		case got.refuses():
			return got
		case got.Verdict == Allow:
			d = got
		}
	}
	return d
}

// guard calls one hook and turns its panic into a refusal.
func guard[H any](b *Broker, h H, call func(H) Decision) (d Decision) {
	defer func() {
		if p := recover(); p != nil {
			b.metrics.HookPanics.Add(1)
			b.log.Error("a hook panicked; the event is refused", "hook", fmt.Sprintf("%T", h), "err", p, "stack", string(debug.Stack()))
			d = Decision{Verdict: Deny, Reason: packet.UnspecifiedError, By: fmt.Sprintf("%T", h)}
		}
	}()
	d = call(h)
	if d.Text != "" {
		d.Text = reasonText(d.Text)
	}
	return d
}

// maxReasonText bounds what a hook may tell a client in a reason string, so
// that any acknowledgement can carry it.
const maxReasonText = 1 << 10

// reasonText is text as a reason string may hold it.
func reasonText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text[:min(len(text), maxReasonText)], "?"), "\x00", "?")
}
