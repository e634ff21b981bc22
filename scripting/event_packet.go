package scripting

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/scripting/sandbox"
)

// packetEvent: a control packet on its way in or out, off unless Options.Packets.
// A handler that fails lets the packet go on as it was: it meets all other rules
// still, and one that vanished would make the client wait for ever.
var packetEvent = &event[core.PacketEvent]{
	eventInfo: eventInfo{name: "packet", disconnect: packet.DISCONNECT, drop: true, goesOn: true, takes: isPacketFate, take: takePacketFate},
	kind: newKind(kind[core.PacketEvent]{name: "packet event", fields: fields[core.PacketEvent]{
		"direction": {doc: "\"in\"|\"out\": from the client, or to it", get: func(_ *call, ev *core.PacketEvent) lua.LValue { return lua.LString(ev.Direction.String()) }},
		"type":      {doc: "string: the packet's name, as in the specification", get: func(_ *call, ev *core.PacketEvent) lua.LValue { return lua.LString(ev.Type.String()) }},
		"client":    clientField(func(ev *core.PacketEvent) *core.Client { return ev.Client }).as("lunamq.Client: whose connection it is; its fields are nil before CONNECT"),
		"bytes": {
			doc: "string: the whole packet; what is assigned is not validated",
			get: func(c *call, ev *core.PacketEvent) lua.LValue {
				c.chargeBytes(len(ev.Bytes))
				return lua.LString(ev.Bytes)
			},
			set: func(c *call, ev *core.PacketEvent, x lua.LValue) error {
				s, err := toBytes(x)
				if err == nil {
					c.chargeBytes(len(s))
					ev.Bytes = []byte(s)
				}
				return err
			},
		},
	}}),
	client: func(ev *core.PacketEvent) *core.Client { return ev.Client },
	save: func(c *call, ev *core.PacketEvent) {
		before := ev.Bytes
		c.undo = func() { ev.Bytes = before }
	},
	hook: func(p *plan[core.PacketEvent]) any { return packetHook{p} },
}

type packetHook struct{ *plan[core.PacketEvent] }

func (h packetHook) OnPacket(ev *core.PacketEvent) core.Decision { return h.ask(&ev.Turn, ev) }

// packetFate is what mqtt.delay and mqtt.duplicate bring. What several handlers
// say adds up.
type packetFate struct {
	delay  time.Duration
	copies int
}

func (f packetFate) call() string {
	if f.copies > 0 {
		return "mqtt.duplicate()"
	}
	return "mqtt.delay()"
}

func isPacketFate(with any) bool { _, ok := with.(packetFate); return ok }

func takePacketFate(x any, v verdict) {
	f, _ := v.with.(packetFate)
	ev := x.(*core.PacketEvent)
	ev.Delay += f.delay
	ev.Copies += f.copies
}

// packetVerdicts are mqtt.delay(seconds) and mqtt.duplicate([n]).
func (w *world) packetVerdicts() map[string]lua.LGFunction {
	fate := func(L *lua.LState, f packetFate) int {
		sandbox.Charge(L, 1)
		L.Push(&lua.LUserData{Value: &verdict{core.Decision{By: place(L)}, f}, Metatable: w.verdictMeta})
		return 1
	}
	return map[string]lua.LGFunction{
		"delay": func(L *lua.LState) int {
			argNone(L, 1, "mqtt.delay")
			s := argNumber(L, 1, "mqtt.delay", "seconds")
			d, ok := duration(s)
			if !ok || d > core.MaxPacketDelay {
				L.RaiseError("mqtt.delay: seconds must be above 0 and at most %v, not %v", core.MaxPacketDelay.Seconds(), s)
			}
			return fate(L, packetFate{delay: d})
		},
		"duplicate": func(L *lua.LState) int {
			argNone(L, 1, "mqtt.duplicate")
			n := 1.0
			if L.Get(1) != lua.LNil {
				var err error
				if n, err = toInteger(L.Get(1), 1, core.MaxPacketCopies); err != nil {
					L.RaiseError("mqtt.duplicate: n %v", err)
				}
			}
			return fate(L, packetFate{copies: int(n)})
		},
	}
}
