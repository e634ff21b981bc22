package scripting

import (
	"maps"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
)

// matching says what the filter of a handler is held against.
type matching uint8

const (
	matchNone    matching = iota // the event takes no filter
	matchTopic                   // a topic name that it matches
	matchOverlap                 // a filter: some topic matches both
)

// eventInfo is what the machinery knows of an event beside its Go type.
type eventInfo struct {
	name  string
	match matching
	told  bool // it has happened: no verdict

	// The packets whose reason codes a refusal may carry; without disconnect
	// that is no verdict of this event, without drop neither.
	deny, disconnect packet.Type
	drop             bool

	// take puts into the event what a verdict brings beside its decision; nil
	// where no verdict of this event brings anything.
	takes func(with any) bool
	take  func(ev any, v verdict)

	goesOn bool // after a failed handler the event goes on, whatever on_error says
}

// event is one row of the table of events: what a handler is given, and how the
// broker is hooked.
type event[T any] struct {
	eventInfo
	kind    *kind[T]
	subject func(*T) string       // what filters are held against; nil with matchNone
	client  func(*T) *core.Client // nil where there is none
	save    func(*call, *T)       // keeps what a failed handler goes back to; nil where nothing is writable
	hook    func(*plan[T]) any    // the value that is registered with the broker
}

// eventType is an event of any Go type.
type eventType interface {
	info() *eventInfo
	keep(c *call)
	clientOf(ev any) *core.Client
	plan(g *generation, handlers []*handler) any
}

// shownEvent is an event whose handlers are given an object: an event[T].
type shownEvent interface {
	eventType
	object(c *call, ev any) *lua.LUserData
	read(c *call, ev any, name string) (lua.LValue, bool)
	fieldNames() []string
	kindName() string
}

// events is the table of events. A new one is a row here and its file.
var events = map[string]eventType{
	"connect":       connectEvent,
	"connected":     connectedEvent,
	"disconnected":  disconnectedEvent,
	"load":          loadKind,
	"unload":        unloadKind,
	"packet":        packetEvent,
	"publish":       publishEvent,
	"authenticate":  authenticateEvent,
	"will":          willEvent,
	"subscribe":     subscribeEvent,
	"subscribed":    subscribedEvent,
	"unsubscribe":   unsubscribeEvent,
	"unsubscribed":  unsubscribedEvent,
	"deliver":       deliverEvent,
	"dropped":       droppedEvent,
	"acked":         ackedEvent,
	"session_ended": sessionEndedEvent,
}

var eventNames = slices.Sorted(maps.Keys(events))

func (e *event[T]) info() *eventInfo { return &e.eventInfo }

// keep is called before the first change that a handler makes.
func (e *event[T]) keep(c *call) {
	if e.save != nil {
		e.save(c, c.event.(*T))
	}
}

func (e *event[T]) clientOf(ev any) *core.Client { return e.client(ev.(*T)) }

// object is the event as a handler is given it.
func (e *event[T]) object(c *call, ev any) *lua.LUserData { return object(c, e.kind, ev.(*T)) }

// read is one field of the event; false if there is none of that name.
func (e *event[T]) read(c *call, ev any, name string) (lua.LValue, bool) {
	f, ok := e.kind.fields[name]
	if !ok {
		return nil, false
	}
	return f.get(c, ev.(*T)), true
}

func (e *event[T]) fieldNames() []string { return e.kind.names }

func (e *event[T]) kindName() string { return e.kind.name }

// keepMessage is save for events whose message is all that changes.
func keepMessage(c *call, m *core.Message) {
	c.message, c.messageAt = *m, m
}

func (e *event[T]) plan(g *generation, handlers []*handler) any {
	p := &plan[T]{generation: g, event: e, handlers: handlers}
	for i, h := range handlers {
		if h.filter == "" {
			p.always = append(p.always, i)
			continue
		}
		if p.filters == nil {
			p.filters = topic.NewFilters[int, int]()
		}
		p.filters.Set(h.filter, i, i)
	}
	g.plans[e.name] = p
	return e.hook(p)
}

// protocol is a client's version as rules write it.
func protocol(v packet.Version) lua.LValue {
	switch v {
	case packet.V31:
		return protocol31
	case packet.V311:
		return protocol311
	case packet.V5:
		return protocol5
	}
	return lua.LNil
}

var (
	protocol31  lua.LValue = lua.LString("3.1")
	protocol311 lua.LValue = lua.LString("3.1.1")
	protocol5   lua.LValue = lua.LString("5")
)

// seconds is a moment as rules write it: since 1970, fractional.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }

// endReason is why a connection ended. 0x00 and 0x04 have names of their own in
// DISCONNECT (MQTT 5, table 3-10).
func endReason(code packet.ReasonCode) lua.LValue {
	if code == packet.Success {
		return lua.LString("normal_disconnection")
	}
	return lua.LString(code.String())
}
