package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/topic"
)

// subscribedEvent is told of a subscription.
var subscribedEvent = &event[core.SubscriptionEvent]{
	eventInfo: eventInfo{name: "subscribed", match: matchOverlap, told: true, goesOn: true},
	kind:      newKind(kind[core.SubscriptionEvent]{name: "subscribed event", fields: subscriptionFields}),
	subject:   subscriptionSubject,
	client:    func(ev *core.SubscriptionEvent) *core.Client { return ev.Client },
	hook:      func(p *plan[core.SubscriptionEvent]) any { return subscribedHook{p} },
}

// unsubscribedEvent is told of a subscription that ended by UNSUBSCRIBE.
var unsubscribedEvent = &event[core.SubscriptionEvent]{
	eventInfo: eventInfo{name: "unsubscribed", match: matchOverlap, told: true, goesOn: true},
	kind:      newKind(kind[core.SubscriptionEvent]{name: "unsubscribed event", fields: subscriptionFields}),
	subject:   subscriptionSubject,
	client:    func(ev *core.SubscriptionEvent) *core.Client { return ev.Client },
	hook:      func(p *plan[core.SubscriptionEvent]) any { return unsubscribedHook{p} },
}

type (
	subscribedHook   struct{ *plan[core.SubscriptionEvent] }
	unsubscribedHook struct{ *plan[core.SubscriptionEvent] }
)

func (h subscribedHook) OnSubscribed(ev *core.SubscriptionEvent)     { h.ask(&ev.Turn, ev) }
func (h unsubscribedHook) OnUnsubscribed(ev *core.SubscriptionEvent) { h.ask(&ev.Turn, ev) }

var subscriptionFields = fields[core.SubscriptionEvent]{
	"filter": {doc: "string: the filter, with $share/group/", get: func(c *call, ev *core.SubscriptionEvent) lua.LValue { return c.text(ev.Filter) }},
	"qos":    {doc: "0|1|2: the quality of service granted", get: func(_ *call, ev *core.SubscriptionEvent) lua.LValue { return number(ev.QoS) }},
	"client": clientField(func(ev *core.SubscriptionEvent) *core.Client { return ev.Client }).as("lunamq.Client: who subscribed, or unsubscribed"),
}

// subscriptionSubject is the filter without $share/group/.
func subscriptionSubject(ev *core.SubscriptionEvent) string {
	_, filter, _ := topic.SplitShare(ev.Filter)
	return filter
}
