package scripting

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
)

// subscribeEvent: one requested filter, before anything is stored.
var subscribeEvent = &event[core.SubscribeEvent]{
	eventInfo: eventInfo{name: "subscribe", match: matchOverlap, deny: packet.SUBACK, disconnect: packet.DISCONNECT},
	kind:      newKind(kind[core.SubscribeEvent]{name: "subscribe event", fields: subscribeFields}),
	subject:   func(ev *core.SubscribeEvent) string { return ev.Filter },
	client:    func(ev *core.SubscribeEvent) *core.Client { return ev.Client },
	save: func(c *call, ev *core.SubscribeEvent) {
		saved := *ev
		c.undo = func() {
			saved.Turn = ev.Turn
			*ev = saved
		}
	},
	hook: func(p *plan[core.SubscribeEvent]) any { return subscribeHook{p} },
}

type subscribeHook struct{ *plan[core.SubscribeEvent] }

func (h subscribeHook) OnSubscribe(ev *core.SubscribeEvent) core.Decision { return h.ask(&ev.Turn, ev) }

var subscribeFields = fields[core.SubscribeEvent]{
	"filter": {
		doc: "string: the requested filter, without $share/group/",
		get: func(c *call, ev *core.SubscribeEvent) lua.LValue { return c.text(ev.Filter) },
		set: func(c *call, ev *core.SubscribeEvent, x lua.LValue) error {
			s, err := toFilter(x)
			if err == nil {
				err = c.checkLevels(s)
			}
			if err == nil {
				ev.Filter = s
			}
			return err
		},
	},
	"qos": {
		doc: "0|1|2: the quality of service asked for; only lowered",
		get: func(_ *call, ev *core.SubscribeEvent) lua.LValue { return number(ev.QoS) },
		set: func(_ *call, ev *core.SubscribeEvent, x lua.LValue) (err error) {
			ev.QoS, err = toLowerQoS(ev.QoS, x)
			return err
		},
	},
	"no_local": {
		doc: "boolean?: whether the client's own messages are left out; nil for 3.x until set",
		get: func(_ *call, ev *core.SubscribeEvent) lua.LValue { return option5(ev, ev.NoLocal, boolean(ev.NoLocal)) },
		set: func(_ *call, ev *core.SubscribeEvent, x lua.LValue) error {
			b, err := toBool(x)
			if err == nil && b && ev.Share != "" {
				err = errors.New("cannot be true for a shared subscription [MQTT-3.8.3-4]")
			}
			if err == nil {
				ev.NoLocal = b
			}
			return err
		},
	},
	"retain_as_published": {
		doc: "boolean?: whether the retain flag is kept as published; nil for 3.x until set",
		get: func(_ *call, ev *core.SubscribeEvent) lua.LValue {
			return option5(ev, ev.RetainAsPublished, boolean(ev.RetainAsPublished))
		},
		set: func(_ *call, ev *core.SubscribeEvent, x lua.LValue) error {
			b, err := toBool(x)
			if err == nil {
				ev.RetainAsPublished = b
			}
			return err
		},
	},
	"retain_handling": {
		doc: "integer?: 0 retained messages come, 1 if the subscription is new, 2 never; nil for 3.x until set",
		get: func(_ *call, ev *core.SubscribeEvent) lua.LValue {
			return option5(ev, ev.RetainHandling != 0, number(ev.RetainHandling))
		},
		set: func(_ *call, ev *core.SubscribeEvent, x lua.LValue) error {
			n, err := toInteger(x, 0, 2) // 3.8.3.1
			if err == nil {
				ev.RetainHandling = byte(n)
			}
			return err
		},
	},
	"share": {doc: "string?: the group of a shared subscription", get: func(c *call, ev *core.SubscribeEvent) lua.LValue { return c.optional(ev.Share) }},
	"identifier": {doc: "integer?: the subscription identifier", get: func(_ *call, ev *core.SubscribeEvent) lua.LValue {
		if ev.Identifier == 0 {
			return lua.LNil
		}
		return number(ev.Identifier)
	}},
	"client": clientField(func(ev *core.SubscribeEvent) *core.Client { return ev.Client }).as("lunamq.Client: who subscribes"),
}

// option5 is a subscription option that MQTT 5 has: on 3.x it reads as nil until
// a handler has set it.
func option5(ev *core.SubscribeEvent, set bool, x lua.LValue) lua.LValue {
	if !set && ev.Client != nil && ev.Client.Protocol != packet.V5 {
		return lua.LNil
	}
	return x
}

// toFilter wants a topic filter without $share/group/ [MQTT-4.7.1-1].
func toFilter(x lua.LValue) (string, error) {
	s, err := toText(x)
	if err != nil {
		return "", err
	}
	return s, checkPlainFilter(s)
}

// checkPlainFilter says what is wrong with a filter that must not be shared.
func checkPlainFilter(s string) error {
	if err := topic.CheckFilter(s); err != nil {
		return fmt.Errorf("cannot be %q: %w", clip(s), err)
	}
	if s == "$share" || strings.HasPrefix(s, "$share/") {
		return fmt.Errorf("cannot be %q: filters are written without $share/group/ here", clip(s))
	}
	return nil
}
