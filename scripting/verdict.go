package scripting

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
)

// verdict is what mqtt.allow, deny, drop and disconnect return. It is not
// mutable, so those without arguments are made once per world.
type verdict struct {
	core.Decision
	with any // what only one event takes beside a decision: an authStep, or nil
}

// name is the call that made a verdict, for error texts.
func (v *verdict) name() string {
	if w, ok := v.with.(interface{ call() string }); ok {
		return w.call()
	}
	return "mqtt." + v.Verdict.String() + "()"
}

// verdictCalls are the functions of mqtt that make verdicts.
func (w *world) verdictCalls() map[string]lua.LGFunction {
	return map[string]lua.LGFunction{
		"allow":      w.mqttAllow,
		"continue":   w.mqttContinue,
		"deny":       w.refusal("mqtt.deny", core.Deny),
		"disconnect": w.refusal("mqtt.disconnect", core.Disconnect),
		"drop": func(L *lua.LState) int {
			argNone(L, 1, "mqtt.drop")
			L.Push(w.verdict(core.Decision{Verdict: core.Drop, Text: verdictText(L, 1, "mqtt.drop"), By: place(L)}))
			return 1
		},
	}
}

// refusal is mqtt.deny and mqtt.disconnect: ([reason [, text]]).
func (w *world) refusal(name string, v core.Verdict) lua.LGFunction {
	return func(L *lua.LState) int {
		argNone(L, 2, name)
		reason, err := toReason(L.Get(1), packet.NotAuthorized)
		if err != nil {
			L.RaiseError("%s: %v", name, err)
		}
		L.Push(w.verdict(core.Decision{Verdict: v, Reason: reason, Text: verdictText(L, 2, name), By: place(L)}))
		return 1
	}
}

func (w *world) verdict(d core.Decision) *lua.LUserData {
	return &lua.LUserData{Value: &verdict{Decision: d}, Metatable: w.verdictMeta}
}

func verdictText(L *lua.LState, n int, name string) string {
	if L.Get(n) == lua.LNil {
		return ""
	}
	s, err := toText(L.Get(n))
	if err != nil {
		L.RaiseError("%s: text %v", name, err)
	}
	return s
}

// toReason is a reason code by its name in MQTT 5 table 2-6, or by its number.
func toReason(x lua.LValue, otherwise packet.ReasonCode) (packet.ReasonCode, error) {
	switch x := x.(type) {
	case lua.LString:
		code, ok := packet.ReasonByName(string(x))
		if !ok {
			return 0, fmt.Errorf("there is no reason %q%s", clip(string(x)), meant(string(x), packet.ReasonNames()))
		}
		return code, nil
	case lua.LNumber:
		n, err := toInteger(x, 0, 255)
		if err != nil {
			return 0, fmt.Errorf("reason %w", err)
		}
		code := packet.ReasonCode(n)
		if _, ok := packet.ReasonByName(code.String()); !ok {
			return 0, fmt.Errorf("there is no reason 0x%02x", byte(code))
		}
		return code, nil
	}
	if x == lua.LNil {
		return otherwise, nil
	}
	return 0, fmt.Errorf("reason must be a name or a number, not %s", describe(x))
}

// judge turns what a handler returned into a decision, or into the error of a
// handler that returned nonsense. What comes beside the decision goes into the event.
func (e *eventInfo) judge(results []lua.LValue, c *call) (core.Decision, error) {
	first, second := lua.LNil, lua.LNil
	if len(results) > 0 {
		first = results[0]
	}
	if len(results) > 1 {
		second = results[1]
	}
	if first == lua.LNil && second == lua.LNil {
		return core.Decision{}, nil
	}
	if second != lua.LNil {
		return core.Decision{}, errSecond(first)
	}
	v, err := toVerdict(first)
	if err == nil {
		err = e.check(v, c)
	}
	if err == nil && e.take != nil {
		e.take(c.event, v)
	}
	return v.Decision, err
}

func toVerdict(x lua.LValue) (verdict, error) {
	switch x := x.(type) {
	case lua.LBool:
		if x {
			return verdict{Decision: core.Decision{Verdict: core.Allow}}, nil
		}
		return verdict{Decision: core.Decision{Verdict: core.Deny, Reason: packet.NotAuthorized}}, nil
	case *lua.LUserData:
		if v, ok := x.Value.(*verdict); ok {
			return *v, nil
		}
	case *lua.LFunction:
		return verdict{}, errors.New("the handler returned a function: a verdict is called, as in return mqtt.deny()")
	}
	return verdict{}, fmt.Errorf("the handler returned %s: return nothing, mqtt.allow(), mqtt.deny(…), mqtt.drop() or mqtt.disconnect(…)", describe(x))
}

// errSecond says what to write in place of a second value.
func errSecond(first lua.LValue) error {
	switch first {
	case lua.LTrue:
		return errors.New("the handler returned a second value beside true: assign the event's fields instead (msg.topic = …) and return mqtt.allow() or nothing")
	case lua.LFalse:
		return errors.New("the handler returned a second value beside false: write return mqtt.deny(reason, text)")
	}
	return errors.New("the handler returned two values: it returns one verdict or nothing")
}

// check says what is wrong with a verdict for this event.
func (e *eventInfo) check(v verdict, c *call) error {
	d, said := v.Decision, v.name()
	if e.told {
		return fmt.Errorf("%s is no verdict for %s, which has happened already: return nothing", said, e.name)
	}
	if v.with != nil && (e.takes == nil || !e.takes(v.with)) {
		return fmt.Errorf("%s is no verdict for %s", said, e.name)
	}
	switch d.Verdict {
	case core.Drop:
		if !e.drop {
			return fmt.Errorf("%s is no verdict for %s: write mqtt.deny(reason)", said, e.name)
		}
	case core.Deny:
		if e.deny == 0 {
			return fmt.Errorf("%s is no verdict for %s: write %s", said, e.name, e.instead())
		}
		if e.cannotRefuse(c.client()) {
			return fmt.Errorf("%s: an unsubscribe of 3.x cannot be refused (UNSUBACK has no code): return nothing, or mqtt.disconnect()", said)
		}
		return e.checkReason(d, e.deny)
	case core.Disconnect:
		if e.disconnect == 0 {
			return fmt.Errorf("%s is no verdict for %s: write %s", said, e.name, e.instead())
		}
		return e.checkReason(d, e.disconnect)
	}
	return nil
}

// instead is how to refuse an event that has no disconnect.
func (e *eventInfo) instead() string {
	if e.drop {
		return "mqtt.drop()"
	}
	return "mqtt.deny(reason)"
}

// cannotRefuse says that the client's protocol has no word for a refusal of
// this event: UNSUBACK of 3.x.
func (e *eventInfo) cannotRefuse(client *core.Client) bool {
	return e.deny == packet.UNSUBACK && client.Protocol != packet.V5
}

// checkReason holds a reason against the packet that would carry it (MQTT 5
// table 2-6), whatever the client's version.
func (e *eventInfo) checkReason(d core.Decision, in packet.Type) error {
	if canRefuse(d.Reason, in) {
		return nil
	}
	var names []string
	for _, name := range packet.ReasonNames() {
		if code, _ := packet.ReasonByName(name); canRefuse(code, in) {
			names = append(names, name)
		}
	}
	return fmt.Errorf("mqtt.%s(%q): %s cannot be refused with it; there are %s", d.Verdict, d.Reason, e.name, strings.Join(names, ", "))
}

func canRefuse(c packet.ReasonCode, in packet.Type) bool {
	return c.IsError() && c.AllowedFrom(packet.FromServer, in)
}
