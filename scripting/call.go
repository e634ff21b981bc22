package scripting

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/scripting/sandbox"
)

// call is one call of one handler: what the library functions and the objects
// in the handler's hands need to know. Guarded by its world's lock.
type call struct {
	id      uint64 // moves on when the call is over; objects made for an older one are dead
	world   *world
	handler *handler
	kind    eventType
	event   any // *T
	turn    *core.Turn
	effects int         // of the turn, when the call began
	state   *lua.LState // the thread that last touched one of the call's objects
	parts   []*lua.LUserData
	args    [1]lua.LValue
	pays    func(n int) // charge, for package lib
	lent    []any       // *ref[T] by kind: what handlers are given that cannot keep it, again and again

	// What a failed call goes back to, kept before its first change.
	touched   bool
	undo      func()
	messageAt *core.Message
	message   core.Message
}

// begin takes a call for one handler of an event. The world is locked.
func (w *world) begin(h *handler, kind eventType, turn *core.Turn, ev any) *call {
	var c *call
	if n := len(w.calls); n > 0 {
		c, w.calls = w.calls[n-1], w.calls[:n-1]
	} else {
		c = &call{world: w}
		c.pays = c.charge
	}
	c.handler, c.kind, c.event, c.turn, c.effects = h, kind, ev, turn, turn.Effects()
	return c
}

// end makes everything dead that was made for the call.
func (w *world) end(c *call) {
	c.id++
	c.handler, c.kind, c.event, c.turn, c.state = nil, nil, nil, nil, nil
	forget(c.args[0])
	for _, ud := range c.parts {
		forget(ud)
	}
	clear(c.parts)
	c.parts, c.args[0] = c.parts[:0], nil
	if c.touched {
		c.touched, c.undo, c.messageAt, c.message = false, nil, nil, core.Message{}
	}
	w.calls = append(w.calls, c)
}

// forget makes an object of a call that is over let go of what it shows.
func forget(x lua.LValue) {
	if ud, ok := x.(*lua.LUserData); ok {
		ud.Value.(interface{ forget() }).forget()
	}
}

// touch is called before every change of the event.
func (c *call) touch() {
	if !c.touched {
		c.touched = true
		c.kind.keep(c)
	}
}

// rollback takes back what a failed handler did: its changes and its effects,
// but for those with always.
func (c *call) rollback() {
	if c.messageAt != nil {
		*c.messageAt = c.message
	}
	if c.undo != nil {
		c.undo()
	}
	c.turn.Truncate(c.effects)
}

// charge makes the handler pay for n pieces of work, chargeBytes for a string
// that is copied (at the sandbox's rate of one instruction per 16 bytes built).
func (c *call) charge(n int) {
	if n > 0 {
		sandbox.Charge(c.state, int64(n))
	}
}

func (c *call) chargeBytes(n int) { c.charge(n / 16) }

// text is a string of the core as a rule gets it: a copy, for those are lent.
func (c *call) text(s string) lua.LValue {
	c.chargeBytes(len(s))
	return lua.LString(strings.Clone(s))
}

// name is text that comes again and again: a topic, a client's identifier, its address.
func (c *call) name(s string) lua.LValue {
	c.chargeBytes(len(s))
	return c.world.names.of(s)
}

// optional is a name, of which "" means that there is none.
func (c *call) optional(s string) lua.LValue {
	if s == "" {
		return lua.LNil
	}
	return c.name(s)
}

// client is whose event it is; nobody for an event without.
func (c *call) client() *core.Client {
	if cl := c.kind.clientOf(c.event); cl != nil {
		return cl
	}
	return nobody
}

// running is the call that L runs in, nil while a file loads.
func running(L *lua.LState) *call {
	c, _ := sandbox.Host(L).(*call)
	if c != nil {
		c.state = L
	}
	return c
}

// TakesLong leaves what else the connection's loop has to do to another one, long
// before the watchdog of the core would see that it does not get on (8 to 12 ms).
func (c *call) TakesLong() { c.turn.BeforeWait() }

// inHandler is running for functions that act: at load they are an error.
func inHandler(L *lua.LState, name string) *call {
	c := running(L)
	if c == nil {
		L.RaiseError("%s while the file loads: call it in a handler", name)
	}
	return c
}

// place is "file.lua:line" of the call of a library function: of the nearest
// Lua function, for pcall(mqtt.deny) has Go between.
func place(L *lua.LState) string {
	const deepest = 10
	for level := 1; level < deepest; level++ {
		where := strings.TrimRight(L.Where(level), ": ")
		if where == "" {
			break
		}
		if !strings.HasPrefix(where, "[G]") {
			return where
		}
	}
	return "scripts"
}
