package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// unsubscribeEvent: one filter that a client wants to leave.
var unsubscribeEvent = &event[core.UnsubscribeEvent]{
	eventInfo: eventInfo{name: "unsubscribe", match: matchOverlap, deny: packet.UNSUBACK, disconnect: packet.DISCONNECT},
	kind: newKind(kind[core.UnsubscribeEvent]{name: "unsubscribe event", fields: fields[core.UnsubscribeEvent]{
		"filter": {
			doc: "string: the filter, without $share/group/",
			get: func(c *call, ev *core.UnsubscribeEvent) lua.LValue { return c.text(ev.Filter) },
			set: func(_ *call, ev *core.UnsubscribeEvent, x lua.LValue) error {
				s, err := toFilter(x)
				if err == nil {
					ev.Filter = s
				}
				return err
			},
		},
		"client": clientField(func(ev *core.UnsubscribeEvent) *core.Client { return ev.Client }).as("lunamq.Client: who unsubscribes"),
	}}),
	subject: func(ev *core.UnsubscribeEvent) string { return ev.Filter },
	client:  func(ev *core.UnsubscribeEvent) *core.Client { return ev.Client },
	save: func(c *call, ev *core.UnsubscribeEvent) {
		filter := ev.Filter
		c.undo = func() { ev.Filter = filter }
	},
	hook: func(p *plan[core.UnsubscribeEvent]) any { return unsubscribeHook{p} },
}

type unsubscribeHook struct{ *plan[core.UnsubscribeEvent] }

func (h unsubscribeHook) OnUnsubscribe(ev *core.UnsubscribeEvent) core.Decision {
	return h.ask(&ev.Turn, ev)
}
