package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// publishEvent: a message was published, after validation and topic alias,
// before retain, storage and routing.
var publishEvent = &event[core.PublishEvent]{
	eventInfo: eventInfo{name: "publish", match: matchTopic, deny: packet.PUBACK, disconnect: packet.DISCONNECT, drop: true},
	kind: newKind(kind[core.PublishEvent]{name: "publish event", fields: join(
		lift(messageFields, func(ev *core.PublishEvent) *core.Message { return ev.Message }),
		fields[core.PublishEvent]{
			"client": clientField(func(ev *core.PublishEvent) *core.Client { return ev.Client }).as("lunamq.Client: who published"),
			"origin": {doc: "'client'|'will'|'script'|'bridge'|'admin': who made the message", get: func(_ *call, ev *core.PublishEvent) lua.LValue { return origin(ev.Message.Origin) }},
		},
	)}),
	subject: func(ev *core.PublishEvent) string { return ev.Message.Topic },
	client:  func(ev *core.PublishEvent) *core.Client { return ev.Client },
	save:    func(c *call, ev *core.PublishEvent) { keepMessage(c, ev.Message) },
	hook:    func(p *plan[core.PublishEvent]) any { return publishHook{p} },
}

type publishHook struct{ *plan[core.PublishEvent] }

func (h publishHook) OnPublish(ev *core.PublishEvent) core.Decision { return h.ask(&ev.Turn, ev) }

// WantsPublish implements core.PublishFilter: a topic that no handler's filter
// matches never comes here.
func (h publishHook) WantsPublish(topic string) bool { return h.wants(topic) }

// origins are the names of who makes messages, boxed once.
var origins = func() (t [core.OriginBroker + 1]lua.LValue) {
	for o := range t {
		t[o] = lua.LString(core.Origin(o).String())
	}
	return t
}()

func origin(o core.Origin) lua.LValue { return origins[o] }
