package scripting

import (
	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// exchange is one step of an enhanced authentication with the rules' answer.
type exchange struct {
	*core.AuthEvent
	answered bool
	more     bool
	data     []byte
}

// authenticateEvent: an AUTH exchange of MQTT 5 (4.12), at CONNECT or later. The
// handlers are asked in order; the first answer stands, a later one may only
// refuse. A reason is one of CONNACK's; what DISCONNECT does not have, as at a
// re-authentication, goes out as unspecified_error.
var authenticateEvent = &event[exchange]{
	eventInfo: eventInfo{name: "authenticate", deny: packet.CONNACK, takes: isAuthStep, take: takeAuthStep},
	kind: newKind(kind[exchange]{name: "authenticate event", fields: fields[exchange]{
		"method": {doc: "string: the authentication method", get: func(c *call, ev *exchange) lua.LValue { return c.text(ev.Method) }},
		"data": {doc: "string?: the data of this step, as bytes", get: func(c *call, ev *exchange) lua.LValue {
			if ev.Data == nil {
				return lua.LNil
			}
			c.chargeBytes(len(ev.Data))
			return lua.LString(ev.Data)
		}},
		"step":   {doc: "integer: 1 for the CONNECT, or the AUTH that begins a re-authentication", get: func(_ *call, ev *exchange) lua.LValue { return number(ev.Step) }},
		"client": clientField(func(ev *exchange) *core.Client { return ev.Client }).as("lunamq.Client: who authenticates"),
	}}),
	client: func(ev *exchange) *core.Client { return ev.Client },
	hook:   func(p *plan[exchange]) any { return authHook{p} },
}

type authHook struct{ *plan[exchange] }

func (h authHook) OnAuth(ev *core.AuthEvent) core.AuthAnswer {
	x := &exchange{AuthEvent: ev}
	d := h.ask(&ev.Turn, x)
	if d.Verdict >= core.Deny {
		return core.AuthAnswer{Decision: d}
	}
	return core.AuthAnswer{Decision: d, Continue: x.more, Data: x.data}
}

// authStep is what mqtt.continue and mqtt.allow(data) bring.
type authStep struct {
	more bool
	data []byte // nil for none
}

func (s authStep) call() string {
	if s.more {
		return "mqtt.continue()"
	}
	return "mqtt.allow(data)"
}

func isAuthStep(with any) bool { _, ok := with.(authStep); return ok }

// takeAuthStep keeps the first answer. An allow after a continue counts for
// nothing: more is asked of the client.
func takeAuthStep(ev any, v verdict) {
	x := ev.(*exchange)
	if s, _ := v.with.(authStep); !x.answered {
		x.answered, x.more, x.data = true, s.more, s.data
	}
}

// mqttAllow is mqtt.allow([data]); the data is for authenticate alone.
func (w *world) mqttAllow(L *lua.LState) int {
	argNone(L, 1, "mqtt.allow")
	if L.Get(1) == lua.LNil {
		L.Push(w.allow)
		return 1
	}
	L.Push(w.step(L, "mqtt.allow", core.Allow, false))
	return 1
}

// mqttContinue is mqtt.continue([data]).
func (w *world) mqttContinue(L *lua.LState) int {
	argNone(L, 1, "mqtt.continue")
	L.Push(w.step(L, "mqtt.continue", core.Pass, true))
	return 1
}

func (w *world) step(L *lua.LState, call string, v core.Verdict, more bool) *lua.LUserData {
	var data []byte
	if x := L.Get(1); x != lua.LNil {
		s, err := toBinary(x) // 3.15.2.2.3
		if err != nil {
			L.RaiseError("%s: data %v", call, err)
		}
		data = []byte(s)
	}
	return &lua.LUserData{Value: &verdict{core.Decision{Verdict: v, By: place(L)}, authStep{more, data}}, Metatable: w.verdictMeta}
}
