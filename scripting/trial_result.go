package scripting

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// result is what a test gets of an event that it tried.
type result struct {
	*outcome
	event    shownEvent
	ev       any
	decision core.Decision
}

// resultKind: the fields of a result, and behind them those of the event as the
// handlers left it.
var resultKind *kind[result]

func init() { // the index refers to the kind itself
	resultKind = newKind(kind[result]{
		name: "result", fields: resultFields,
		index: func(c *call, r *result, key lua.LValue) (lua.LValue, error) {
			name, ok := key.(lua.LString)
			if !ok {
				return nil, fmt.Errorf("a result has names for keys, not %s", describe(key))
			}
			if r.event == nil {
				return nil, fmt.Errorf("a result of clock.advance has no field %q%s", clip(string(name)), meant(string(name), resultKind.names))
			}
			if x, ok := r.event.read(c, r.ev, string(name)); ok {
				return x, nil
			}
			names := slices.Concat(resultKind.names, r.event.fieldNames())
			return nil, fmt.Errorf("a result of %s has no field %q%s", r.event.info().name, clip(string(name)), meant(string(name), names))
		},
		newIndex: func(*call, *result, lua.LValue, lua.LValue) error { return errors.New("a result is read-only") },
	})
}

var resultFields = fields[result]{
	"verdict": {
		doc: "'pass'|'allow'|'deny'|'drop'|'disconnect'|'continue': what the handlers decided",
		get: func(_ *call, r *result) lua.LValue { return lua.LString(r.verdict()) },
	},
	"answer": {
		doc: "string?: the data that mqtt.continue or mqtt.allow sends, as bytes",
		get: func(c *call, r *result) lua.LValue {
			x, ok := r.ev.(*exchange)
			if !ok || x.data == nil || r.isRefused() {
				return lua.LNil
			}
			c.chargeBytes(len(x.data))
			return lua.LString(x.data)
		},
	},
	"reason": {
		doc: "string?: the reason of a refusal; else the event's own field reason, where it has one",
		get: func(c *call, r *result) lua.LValue {
			if r.isRefused() {
				return lua.LString(reasonOf(r.decision).String())
			}
			return r.own(c, "reason")
		},
	},
	"text": {
		doc: "string?: the text of the verdict; else the event's own field text, where it has one",
		get: func(c *call, r *result) lua.LValue {
			if r.decision.Text != "" {
				return lua.LString(r.decision.Text)
			}
			return r.own(c, "text")
		},
	},
	"by": {
		doc: "string?: who decided, \"file.lua:line\"; else the event's own field by",
		get: func(c *call, r *result) lua.LValue {
			if r.decision.By != "" {
				return lua.LString(r.decision.By)
			}
			return r.own(c, "by")
		},
	},
	"event": {
		doc: "any: the event itself, after its handlers",
		get: func(c *call, r *result) lua.LValue {
			if r.event == nil {
				return lua.LNil
			}
			return r.event.object(c, r.ev)
		},
	},
	"published": {
		doc: "lunamq.PublishedMessage[]: what the handlers published",
		get: func(c *call, r *result) lua.LValue { return objects(c, publishedKind, r.published) },
	},
	"kicked": {
		doc: "lunamq.Kick[]: whom the handlers disconnected",
		get: func(c *call, r *result) lua.LValue { return objects(c, kickedKind, r.kicked) },
	},
	"subscribed": {
		doc: "lunamq.OnBehalf[]: what the handlers subscribed clients to",
		get: func(c *call, r *result) lua.LValue { return objects(c, onBehalfKind, r.subscribed) },
	},
	"unsubscribed": {
		doc: "lunamq.OnBehalf[]: what the handlers ended of clients' subscriptions",
		get: func(c *call, r *result) lua.LValue { return objects(c, onBehalfKind, r.unsubscribed) },
	},
	"logs": {
		doc: "lunamq.LogLine[]: what the handlers logged",
		get: func(c *call, r *result) lua.LValue { return objects(c, loggedKind, r.logs) },
	},
	"errors": {
		doc: "string[]: how handlers failed; reading it is asking for it, else a failed handler fails the test",
		get: func(_ *call, r *result) lua.LValue {
			t := newTable()
			for _, f := range r.asked() {
				t.Append(lua.LString(f.headline()))
			}
			return t
		},
	},
}

// own is a field of the event itself, nil if it has none of that name.
func (r *result) own(c *call, name string) lua.LValue {
	if r.event != nil {
		if x, ok := r.event.read(c, r.ev, name); ok {
			return x
		}
	}
	return lua.LNil
}

// verdict is what the handlers decided: of an authentication that is to go on,
// "continue".
func (r *result) verdict() string {
	if x, ok := r.ev.(*exchange); ok && x.more && !r.isRefused() {
		return "continue"
	}
	return r.decision.Verdict.String()
}

// isRefused says that the verdict carries a reason.
func (r *result) isRefused() bool {
	return r.decision.Verdict == core.Deny || r.decision.Verdict == core.Disconnect
}

// asked are the failures, which the test has now asked for.
func (r *result) asked() []*ruleFailure {
	for _, f := range r.failures {
		f.asked = true
	}
	return r.failures
}

// reasonOf is what the client is told: 0 means not authorized (core.Decision).
func reasonOf(d core.Decision) packet.ReasonCode {
	if d.Reason == 0 {
		return packet.NotAuthorized
	}
	return d.Reason
}

// objects is a list of objects.
func objects[T any](c *call, k *kind[T], list []T) lua.LValue {
	t := newTable()
	for i := range list {
		t.Append(object(c, k, &list[i]))
	}
	return t
}

// publishedKind is a message that a rule published.
var publishedKind = newKind(kind[published]{name: "published message", fields: join(
	readOnly(lift(lostMessageFields, func(p *published) *core.Message { return &p.Message })),
	fields[published]{"handlers": {
		doc: "boolean: whether it went through the publish handlers",
		get: func(_ *call, p *published) lua.LValue { return boolean(p.handlers) },
	}},
)})

// kickedKind is a client that a rule disconnected.
var kickedKind = newKind(kind[kicked]{name: "kick", fields: fields[kicked]{
	"id":     {doc: "string: the client identifier", get: func(_ *call, k *kicked) lua.LValue { return lua.LString(k.id) }},
	"reason": {doc: "string: the reason code's name", get: func(_ *call, k *kicked) lua.LValue { return lua.LString(k.reason) }},
	"text":   {doc: "string?: more about it", get: func(c *call, k *kicked) lua.LValue { return c.optional(k.text) }},
	"by":     {doc: "string: the rule, \"file.lua:line\"", get: func(_ *call, k *kicked) lua.LValue { return lua.LString(k.by) }},
}})

// onBehalfKind is a subscription that a rule made or ended for a client.
var onBehalfKind = newKind(kind[onBehalfOf]{name: "on behalf", fields: fields[onBehalfOf]{
	"id":     {doc: "string: the client identifier", get: func(_ *call, s *onBehalfOf) lua.LValue { return lua.LString(s.id) }},
	"filter": {doc: "string: the filter, full", get: func(c *call, s *onBehalfOf) lua.LValue { return c.text(s.filter) }},
	"qos":    {doc: "0|1|2: the quality of service; 0 where it was ended", get: func(_ *call, s *onBehalfOf) lua.LValue { return number(s.qos) }},
}})

// loggedKind is a line that a rule logged.
var loggedKind = newKind(kind[logged]{name: "log line", fields: fields[logged]{
	"level": {doc: "'debug'|'info'|'warn'|'error': the level", get: func(_ *call, l *logged) lua.LValue { return lua.LString(l.level) }},
	"text":  {doc: "string: the text", get: func(_ *call, l *logged) lua.LValue { return lua.LString(l.text) }},
	"fields": {doc: "table<string, string|number|boolean>: the fields; by is where it was logged", get: func(_ *call, l *logged) lua.LValue {
		t := newTable()
		for _, a := range l.fields {
			t.RawSetString(a.Key, attrValue(a.Value))
		}
		return t
	}},
}})

func attrValue(v slog.Value) lua.LValue {
	switch v.Kind() {
	case slog.KindBool:
		return boolean(v.Bool())
	case slog.KindFloat64:
		return lua.LNumber(v.Float64())
	}
	return lua.LString(v.String())
}
