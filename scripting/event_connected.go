package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// connectedEvent is told after the CONNACK.
var connectedEvent = &event[core.ConnectedEvent]{
	eventInfo: eventInfo{name: "connected", told: true, goesOn: true},
	kind: newKind(kind[core.ConnectedEvent]{name: "connected event", fields: fields[core.ConnectedEvent]{
		"client":          clientField(func(ev *core.ConnectedEvent) *core.Client { return ev.Client }).as("lunamq.Client: who connected"),
		"session_present": {doc: "boolean: whether it took up an old session", get: func(_ *call, ev *core.ConnectedEvent) lua.LValue { return boolean(ev.SessionPresent) }},
	}}),
	client: func(ev *core.ConnectedEvent) *core.Client { return ev.Client },
	hook:   func(p *plan[core.ConnectedEvent]) any { return connectedHook{p} },
}

type connectedHook struct{ *plan[core.ConnectedEvent] }

func (h connectedHook) OnConnected(ev *core.ConnectedEvent) { h.ask(&ev.Turn, ev) }
