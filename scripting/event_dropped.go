package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// droppedEvent is told when a message was lost on purpose.
var droppedEvent = &event[core.DroppedEvent]{
	eventInfo: eventInfo{name: "dropped", match: matchTopic, told: true, goesOn: true},
	kind: newKind(kind[core.DroppedEvent]{name: "dropped event", fields: join(
		lift(lostMessageFields, func(ev *core.DroppedEvent) *core.Message { return ev.Message }),
		fields[core.DroppedEvent]{
			"client":    clientField(func(ev *core.DroppedEvent) *core.Client { return ev.Client }).as("lunamq.Client: the receiver, where there is one"),
			"publisher": clientField(func(ev *core.DroppedEvent) *core.Client { return ev.Publisher }).as("lunamq.Client: who sent the message"),
			"cause":     {doc: "string: why it was lost: queue_full, expired, too_large, slow_consumer, script, acl, no_subscriber, offline_qos0, session_ended, store, rate", get: func(_ *call, ev *core.DroppedEvent) lua.LValue { return lua.LString(ev.Cause) }},
		},
	)}),
	subject: func(ev *core.DroppedEvent) string { return ev.Message.Topic },
	client:  func(ev *core.DroppedEvent) *core.Client { return ev.Client },
	hook:    func(p *plan[core.DroppedEvent]) any { return droppedHook{p} },
}

type droppedHook struct{ *plan[core.DroppedEvent] }

func (h droppedHook) OnDropped(ev *core.DroppedEvent) { h.ask(&ev.Turn, ev) }
