package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// willEvent: a will is about to be sent, after its delay. Nobody is there to be
// told why it is refused, nor to be disconnected.
var willEvent = &event[core.WillEvent]{
	eventInfo: eventInfo{name: "will", match: matchTopic, deny: packet.PUBACK, drop: true},
	kind: newKind(kind[core.WillEvent]{name: "will event", fields: join(
		lift(messageFields, func(ev *core.WillEvent) *core.Message { return ev.Message }),
		fields[core.WillEvent]{
			"client": clientField(func(ev *core.WillEvent) *core.Client { return ev.Client }).as("lunamq.Client: whose will it is, as it was"),
			"delay":  {doc: "integer: seconds that the will has waited, as asked for", get: func(_ *call, ev *core.WillEvent) lua.LValue { return number(ev.Delay) }},
			"reason": {doc: "string: why the connection ended", get: func(_ *call, ev *core.WillEvent) lua.LValue { return endReason(ev.Reason) }},
		},
	)}),
	subject: func(ev *core.WillEvent) string { return ev.Message.Topic },
	client:  func(ev *core.WillEvent) *core.Client { return ev.Client },
	save:    func(c *call, ev *core.WillEvent) { keepMessage(c, ev.Message) },
	hook:    func(p *plan[core.WillEvent]) any { return willHook{p} },
}

type willHook struct{ *plan[core.WillEvent] }

func (h willHook) OnWill(ev *core.WillEvent) core.Decision { return h.ask(&ev.Turn, ev) }
