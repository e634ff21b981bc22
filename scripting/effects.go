package scripting

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
	"lunamq/scripting/sandbox"
)

// effectCost is what queueing one effect costs in instructions: it bounds what
// one call can queue (5 000 with the default budget); what of it is sent is
// bounded by the core, per originating event.
const effectCost = 200

// scriptClient is who publishes the messages of rules.
var scriptClient = &core.Client{ID: "$script"}

var publishKeys = slices.Sorted(slices.Values(append([]string{"always", "handlers"}, messageKeys...)))

// mqttPublish is mqtt.publish{topic=, payload=, …}: validated now, sent once
// the event is decided.
func mqttPublish(L *lua.LState) int {
	c := inHandler(L, "mqtt.publish")
	sandbox.Charge(L, effectCost)
	argNone(L, 1, "mqtt.publish")
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		L.RaiseError("mqtt.publish: want a table, mqtt.publish{topic=…, payload=…}, not %s", describe(L.Get(1)))
	}
	from, err := stringKeys(t, publishKeys)
	if err != nil {
		L.RaiseError("mqtt.publish: the table %v", err)
	}
	handlers, always := flag(L, from, "mqtt.publish", "handlers"), flag(L, from, "mqtt.publish", "always")
	payload := ""
	if x := from["payload"]; x != nil {
		if payload, err = toBytes(x); err != nil {
			L.RaiseError("mqtt.publish: payload %v", err)
		}
		delete(from, "payload") // copied when it is sent: many may wait
	}
	m := core.Message{Origin: core.OriginScript, Publisher: scriptClient}
	if err := fillMessage(c, &m, from); err != nil {
		L.RaiseError("mqtt.publish: %v", err)
	}
	g, turn, by := c.world.generation, c.turn, place(L)
	turn.After(always, func() {
		m.Payload = []byte(payload)
		if err := g.engine.host.Publish(turn, m, handlers); err != nil {
			g.complain(by, "a message of a rule was not published", "topic", m.Topic, "err", err)
		}
	})
	return 0
}

var kickOptions = []string{"always", "text"}

// mqttKick is mqtt.kick(id [, reason [, options]]).
func mqttKick(L *lua.LState) int {
	c := inHandler(L, "mqtt.kick")
	sandbox.Charge(L, effectCost)
	argNone(L, 3, "mqtt.kick")
	id := argBytes(L, 1, "mqtt.kick", "id")
	reason, err := toReason(L.Get(2), packet.AdministrativeAction)
	if err != nil {
		L.RaiseError("mqtt.kick: %v", err)
	}
	if !canRefuse(reason, packet.DISCONNECT) {
		L.RaiseError("mqtt.kick: a server does not disconnect with %q (DISCONNECT, MQTT 5 table 3-10)", reason.String())
	}
	from := argOptions(L, 3, "mqtt.kick", kickOptions)
	always, said := flag(L, from, "mqtt.kick", "always"), ""
	if x := from["text"]; x != nil {
		if said, err = toText(x); err != nil {
			L.RaiseError("mqtt.kick: text %v", err)
		}
	}
	host, mount, by := c.world.generation.engine.host, c.client().Mount, place(L)
	c.turn.After(always, func() { host.Kick(mount, id, reason, said, by) })
	return 0
}

// argOptions is argument n as a table of options, which may be left out.
func argOptions(L *lua.LState, n int, call string, names []string) map[string]lua.LValue {
	if L.Get(n) == lua.LNil {
		return nil
	}
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		L.RaiseError("%s: the options must be a table {%s=…}, not %s", call, strings.Join(names, "=…, "), describe(L.Get(n)))
	}
	from, err := stringKeys(t, names)
	if err != nil {
		L.RaiseError("%s: the table %v", call, err)
	}
	return from
}

// argAlways is argument n as a table of options that has always alone.
func argAlways(L *lua.LState, n int, call string) bool {
	return flag(L, argOptions(L, n, call, []string{"always"}), call, "always")
}

// flag takes an optional boolean out of the keys of a table.
func flag(L *lua.LState, from map[string]lua.LValue, call, name string) bool {
	x := from[name]
	if x == nil {
		return false
	}
	delete(from, name)
	b, err := toBool(x)
	if err != nil {
		L.RaiseError("%s: %s %v", call, name, err)
	}
	return b
}

// mqttMatch is mqtt.match(filter, topic).
func mqttMatch(L *lua.LState) int {
	argNone(L, 2, "mqtt.match")
	filter, name := argBytes(L, 1, "mqtt.match", "filter"), argBytes(L, 2, "mqtt.match", "topic")
	sandbox.Charge(L, 1+int64(len(filter)+len(name))/64)
	if err := topic.CheckFilter(filter); err != nil {
		L.RaiseError("mqtt.match: %v: %q", err, clip(filter))
	}
	if err := topic.CheckName(name); err != nil {
		L.RaiseError("mqtt.match: %v: %q", err, clip(name))
	}
	_, filter, _ = topic.SplitShare(filter)
	L.Push(boolean(topic.Match(filter, name)))
	return 1
}
