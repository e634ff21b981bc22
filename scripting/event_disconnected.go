package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// disconnectedEvent is told when a connection has ended.
var disconnectedEvent = &event[core.DisconnectedEvent]{
	eventInfo: eventInfo{name: "disconnected", told: true, goesOn: true},
	kind: newKind(kind[core.DisconnectedEvent]{name: "disconnected event", fields: fields[core.DisconnectedEvent]{
		"client": clientField(func(ev *core.DisconnectedEvent) *core.Client { return ev.Client }).as("lunamq.Client: whose connection ended"),
		"reason": {doc: "string: the reason code's name, normal_disconnection for 0x00", get: func(_ *call, ev *core.DisconnectedEvent) lua.LValue { return endReason(ev.Reason) }},
		"text":   {doc: "string?: more about it", get: func(c *call, ev *core.DisconnectedEvent) lua.LValue { return c.optional(ev.Text) }},
		"by":     {doc: "'client'|'broker'|'network'|'takeover'|'script': which side ended it", get: func(_ *call, ev *core.DisconnectedEvent) lua.LValue { return lua.LString(ev.By) }},
		"will":   {doc: "'sent'|'delayed'|'discarded'|nil: what became of the will; nil without one", get: func(c *call, ev *core.DisconnectedEvent) lua.LValue { return c.optional(ev.Will) }},
	}}),
	client: func(ev *core.DisconnectedEvent) *core.Client { return ev.Client },
	hook:   func(p *plan[core.DisconnectedEvent]) any { return disconnectedHook{p} },
}

type disconnectedHook struct{ *plan[core.DisconnectedEvent] }

func (h disconnectedHook) OnDisconnected(ev *core.DisconnectedEvent) { h.ask(&ev.Turn, ev) }
