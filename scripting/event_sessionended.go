package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// sessionEndedEvent is told when a session expired or was removed.
var sessionEndedEvent = &event[core.SessionEndedEvent]{
	eventInfo: eventInfo{name: "session_ended", told: true, goesOn: true},
	kind: newKind(kind[core.SessionEndedEvent]{name: "session_ended event", fields: fields[core.SessionEndedEvent]{
		"client_id": {doc: "string: whose session it was", get: func(c *call, ev *core.SessionEndedEvent) lua.LValue { return c.name(ev.Client.ID) }},
		"reason":    {doc: "'expired'|'clean_start'|'connection_ended': why it ended", get: func(_ *call, ev *core.SessionEndedEvent) lua.LValue { return lua.LString(ev.Reason) }},
	}}),
	client: func(ev *core.SessionEndedEvent) *core.Client { return ev.Client },
	hook:   func(p *plan[core.SessionEndedEvent]) any { return sessionEndedHook{p} },
}

type sessionEndedHook struct{ *plan[core.SessionEndedEvent] }

func (h sessionEndedHook) OnSessionEnded(ev *core.SessionEndedEvent) { h.ask(&ev.Turn, ev) }
