package core

import (
	"fmt"
	"runtime/debug"
)

// tell tells every hook of what happened. A panic is counted and ends nothing.
func tell[H any](r *round, hooks []H, call func(H)) {
	r.beforeHooks()
	for _, h := range hooks {
		func() {
			defer r.b.recoverHook(h)
			call(h)
		}()
	}
}

// recoverHook is deferred around what hooks do: their panics end nothing.
func (b *Broker) recoverHook(hook any) {
	if p := recover(); p != nil {
		b.metrics.HookPanics.Add(1)
		b.log.Error("a hook panicked", "hook", fmt.Sprintf("%T", hook), "err", p, "stack", string(debug.Stack()))
	}
}

func (b *Broker) tellConnected(r *round, ev *ConnectedEvent) {
	if hooks := b.hooks.Load().connected; len(hooks) > 0 {
		ev.round = r
		tell(r, hooks, func(h ConnectedHook) { h.OnConnected(ev) })
		ev.settle(false)
	}
}

func (b *Broker) tellDisconnected(r *round, ev *DisconnectedEvent) {
	if hooks := b.hooks.Load().disconnected; len(hooks) > 0 {
		ev.round = r
		tell(r, hooks, func(h DisconnectedHook) { h.OnDisconnected(ev) })
		ev.settle(false)
	}
}

func (b *Broker) tellSubscribed(r *round, ev *SubscriptionEvent) {
	if hooks := b.hooks.Load().subscribed; len(hooks) > 0 {
		ev.round = r
		tell(r, hooks, func(h SubscribedHook) { h.OnSubscribed(ev) })
		ev.settle(false)
	}
}

func (b *Broker) tellUnsubscribed(r *round, ev *SubscriptionEvent) {
	if hooks := b.hooks.Load().unsubscribed; len(hooks) > 0 {
		ev.round = r
		tell(r, hooks, func(h UnsubscribedHook) { h.OnUnsubscribed(ev) })
		ev.settle(false)
	}
}

// tellAcked tells of a message that its receiver has completed. It is called
// for each of them: an event is made only where somebody is to be told.
func (b *Broker) tellAcked(r *round, client *Client, done completed) {
	if hooks := b.hooks.Load().acked; len(hooks) > 0 {
		ev := &AckedEvent{Turn: Turn{round: r}, Client: client, Topic: unmounted(client.Mount, done.msg.Topic), QoS: done.qos}
		tell(r, hooks, func(h AckedHook) { h.OnAcked(ev) })
		ev.settle(false)
	}
}

func (b *Broker) tellSessionEnded(r *round, client *Client, reason string) {
	if hooks := b.hooks.Load().sessionEnded; len(hooks) > 0 {
		ev := &SessionEndedEvent{Turn: Turn{round: r}, Client: client, Reason: reason}
		tell(r, hooks, func(h SessionEndedHook) { h.OnSessionEnded(ev) })
		ev.settle(false)
		b.commitNow(r)
	}
}

// tellDropped tells of a lost message. What its hooks publish raises no
// dropped event.
func (b *Broker) tellDropped(r *round, ev *DroppedEvent) {
	quiet := b.newRound()
	quiet.untold = true
	ev.round = quiet
	tell(r, b.hooks.Load().dropped, func(h DroppedHook) { h.OnDropped(ev) })
	ev.settle(false)
	b.commitNow(quiet)
	quiet.end()
}
