package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// ackedEvent is told when a receiver has completed a QoS 1 or 2 message.
var ackedEvent = &event[core.AckedEvent]{
	eventInfo: eventInfo{name: "acked", match: matchTopic, told: true, goesOn: true},
	kind: newKind(kind[core.AckedEvent]{name: "acked event", fields: fields[core.AckedEvent]{
		"topic":  {doc: "string: the topic of the message", get: func(c *call, ev *core.AckedEvent) lua.LValue { return c.name(ev.Topic) }},
		"qos":    {doc: "1|2: the quality of service it was sent with", get: func(_ *call, ev *core.AckedEvent) lua.LValue { return number(ev.QoS) }},
		"client": clientField(func(ev *core.AckedEvent) *core.Client { return ev.Client }).as("lunamq.Client: the receiver"),
	}}),
	subject: func(ev *core.AckedEvent) string { return ev.Topic },
	client:  func(ev *core.AckedEvent) *core.Client { return ev.Client },
	hook:    func(p *plan[core.AckedEvent]) any { return ackedHook{p} },
}

type ackedHook struct{ *plan[core.AckedEvent] }

func (h ackedHook) OnAcked(ev *core.AckedEvent) { h.ask(&ev.Turn, ev) }
