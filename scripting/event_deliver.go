package scripting

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// deliverEvent: a message leaves the receiver's queue for its connection.
// Changes are for this receiver alone.
var deliverEvent = &event[core.DeliverEvent]{
	eventInfo: eventInfo{name: "deliver", match: matchTopic, deny: packet.PUBACK, disconnect: packet.DISCONNECT, drop: true, goesOn: true},
	kind: newKind(kind[core.DeliverEvent]{name: "deliver event", fields: join(
		lift(messageFields, func(ev *core.DeliverEvent) *core.Message { return ev.Message }),
		fields[core.DeliverEvent]{
			"qos": {
				doc: "0|1|2: the quality of service; only lowered",
				get: func(_ *call, ev *core.DeliverEvent) lua.LValue { return number(ev.Message.QoS) },
				set: func(_ *call, ev *core.DeliverEvent, x lua.LValue) (err error) {
					ev.Message.QoS, err = toLowerQoS(ev.Message.QoS, x)
					return err
				},
			},
			"client": clientField(func(ev *core.DeliverEvent) *core.Client { return ev.Client }).as("lunamq.Client: the receiver"),
			"subscription": {doc: "lunamq.Subscription: the subscription that brought the message", get: func(c *call, ev *core.DeliverEvent) lua.LValue {
				return part(c, subscriptionKind, (*subscription)(ev))
			}},
		},
	)}),
	subject: func(ev *core.DeliverEvent) string { return ev.Message.Topic },
	client:  func(ev *core.DeliverEvent) *core.Client { return ev.Client },
	save:    func(c *call, ev *core.DeliverEvent) { keepMessage(c, ev.Message) },
	hook:    func(p *plan[core.DeliverEvent]) any { return deliverHook{p} },
}

type deliverHook struct{ *plan[core.DeliverEvent] }

func (h deliverHook) WantsDeliver(topic string) bool                { return h.wants(topic) }
func (h deliverHook) OnDeliver(ev *core.DeliverEvent) core.Decision { return h.ask(&ev.Turn, ev) }

// subscription is the subscription that brought a message.
type subscription core.DeliverEvent

var subscriptionKind = newKind(kind[subscription]{name: "subscription", fields: fields[subscription]{
	"filter": {doc: "string: its filter", get: func(c *call, s *subscription) lua.LValue { return c.text(s.Filter) }},
	"qos":    {doc: "0|1|2: its quality of service, as granted", get: func(_ *call, s *subscription) lua.LValue { return number(s.QoS) }},
}})

// toLowerQoS wants a QoS of at most old, and returns old in an error.
func toLowerQoS(old byte, x lua.LValue) (byte, error) {
	n, err := toInteger(x, 0, 2)
	if err != nil {
		return old, err
	}
	if n > float64(old) {
		return old, fmt.Errorf("is only lowered here: it is %d, not to be %.0f", old, n)
	}
	return byte(n), nil
}
