package scripting

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/topic"
	"lunamq/scripting/sandbox"
)

// lookupCost is what a look at the broker's tables costs, in instructions (some
// 300 ns), and each object that comes out of one.
const lookupCost = 15

// clientCalls are the functions of mqtt about clients and their subscriptions.
// Ids are taken within the mount of the event's client, or full.
var clientCalls = map[string]lua.LGFunction{
	"client":      mqttClient,
	"clients":     mqttClients,
	"subscribe":   mqttSubscribe,
	"unsubscribe": mqttUnsubscribe,
}

// mqttClient is mqtt.client(id): a connected client, or nil.
func mqttClient(L *lua.LState) int {
	c := inHandler(L, "mqtt.client")
	argNone(L, 1, "mqtt.client")
	sandbox.Charge(L, lookupCost)
	id := argBytes(L, 1, "mqtt.client", "id")
	found := c.world.generation.engine.host.Client(c.client().Mount, id)
	if found == nil {
		L.Push(lua.LNil)
	} else {
		L.Push(object(c, clientKind, found))
	}
	return 1
}

// mqttClients is mqtt.clients(): an iterator over the connected clients, in no
// order. Who is connected all the time comes exactly once.
func mqttClients(L *lua.LState) int {
	c := inHandler(L, "mqtt.clients")
	argNone(L, 0, "mqtt.clients")
	sandbox.Charge(L, lookupCost)
	host := c.world.generation.engine.host
	var list []*core.Client
	page, more := 0, true
	L.Push(newFunction(func(L *lua.LState) int {
		c := inHandler(L, "mqtt.clients")
		sandbox.Charge(L, lookupCost)
		for len(list) == 0 && more {
			list, more = host.Clients(list, page)
			page++
			sandbox.Charge(L, lookupCost+int64(len(list))/4)
		}
		if len(list) == 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(object(c, clientKind, list[0]))
		list[0], list = nil, list[1:]
		return 1
	}))
	return 1
}

// mqttSubscribe is mqtt.subscribe(id, filter [, qos [, options]]): once the event
// is decided. The filter is full.
func mqttSubscribe(L *lua.LState) int {
	const call = "mqtt.subscribe"
	argNone(L, 4, call)
	c, id, filter := onBehalf(L, call)
	qos := 0.0
	if L.Get(3) != lua.LNil {
		var err error
		if qos, err = toInteger(L.Get(3), 0, 2); err != nil {
			L.RaiseError("%s: qos %v", call, err)
		}
	}
	g, mount, by := c.world.generation, c.client().Mount, place(L)
	c.turn.After(argAlways(L, 4, call), func() {
		if err := g.engine.host.Subscribe(mount, id, filter, byte(qos)); err != nil {
			g.complain(by, "a rule's subscription was not made", "client", id, "err", err)
		}
	})
	return 0
}

// mqttUnsubscribe is mqtt.unsubscribe(id, filter [, options]): once the event is
// decided.
func mqttUnsubscribe(L *lua.LState) int {
	const call = "mqtt.unsubscribe"
	argNone(L, 3, call)
	c, id, filter := onBehalf(L, call)
	g, mount, by := c.world.generation, c.client().Mount, place(L)
	c.turn.After(argAlways(L, 3, call), func() {
		if err := g.engine.host.Unsubscribe(mount, id, filter); err != nil {
			g.complain(by, "a rule's subscription was not ended", "client", id, "err", err)
		}
	})
	return 0
}

// onBehalf reads id and filter.
func onBehalf(L *lua.LState, name string) (c *call, id, filter string) {
	c = inHandler(L, name)
	sandbox.Charge(L, effectCost)
	id, filter = argBytes(L, 1, name, "id"), argBytes(L, 2, name, "filter")
	err := checkText(filter)
	if err == nil {
		if err = topic.CheckFilter(filter); err != nil {
			err = fmt.Errorf("cannot be %q: %w", clip(filter), err)
		}
	}
	if err != nil {
		L.RaiseError("%s: the filter %v", name, err)
	}
	return c, id, filter
}

// retainedCalls are the functions of mqtt about retained messages. Topics and
// filters are full, the messages read-only.
var retainedCalls = map[string]lua.LGFunction{
	"retained":     mqttRetained,
	"retained_all": mqttRetainedAll,
}

var retainedKind = newKind(kind[core.Message]{name: "retained message", fields: lostMessageFields})

// mqttRetained is mqtt.retained(topic): a message or nil.
func mqttRetained(L *lua.LState) int {
	c := inHandler(L, "mqtt.retained")
	argNone(L, 1, "mqtt.retained")
	sandbox.Charge(L, lookupCost)
	name, err := toTopic(L.Get(1))
	if err != nil {
		L.RaiseError("mqtt.retained: topic %v", err)
	}
	if m := c.world.generation.engine.host.Retained(name); m != nil {
		L.Push(object(c, retainedKind, m))
	} else {
		L.Push(lua.LNil)
	}
	return 1
}

// retainedSlice is how many retained messages are fetched at once.
const retainedSlice = 32

// retainedMiss is what a look at the tree costs, in instructions, that finds
// nothing: it has passed over 4096 names (core/topic, Cursor), some 60 µs.
const retainedMiss = 3000

// mqttRetainedAll is mqtt.retained_all(filter): an iterator.
func mqttRetainedAll(L *lua.LState) int {
	const call = "mqtt.retained_all"
	c := inHandler(L, call)
	argNone(L, 1, call)
	filter := argBytes(L, 1, call, "filter")
	if err := checkPlainFilter(filter); err != nil {
		L.RaiseError("%s: the filter %v", call, err)
	}
	sandbox.Charge(L, lookupCost)
	walk := c.world.generation.engine.host.RetainedAll(filter)
	var list []*core.Message
	done := false
	L.Push(newFunction(func(L *lua.LState) int {
		c := inHandler(L, call)
		sandbox.Charge(L, lookupCost)
		for len(list) == 0 && !done {
			if list, done = walk.Next(list, retainedSlice); len(list) == 0 && !done {
				sandbox.Charge(L, retainedMiss)
			}
		}
		if len(list) == 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(object(c, retainedKind, list[0]))
		list[0], list = nil, list[1:]
		return 1
	}))
	return 1
}
