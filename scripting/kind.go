package scripting

import (
	"fmt"
	"maps"
	"slices"

	lua "github.com/yuin/gopher-lua"
)

// kind describes the objects of one Go type as rules see them: userdata whose
// fields are looked up in a Go table, so that nothing is converted that a rule
// does not read.
type kind[T any] struct {
	name    string // for error texts: "publish event", "client"
	id      int    // place of its slab in a world
	fields  map[string]field[T]
	methods map[string]lua.LGFunction
	names   []string // of fields and methods, sorted

	// For objects whose keys are not names (levels, vars): all optional.
	index    func(c *call, v *T, key lua.LValue) (lua.LValue, error)
	newIndex func(c *call, v *T, key, x lua.LValue) error
	length   func(v *T) int
	view     func(c *call, v *T) lua.LValue // the object as a plain value; nil: a table of its fields
	walked   bool                           // pairs walks the view
}

// field is one field of a kind. Without set it is read-only.
type field[T any] struct {
	doc string // for the reference: "type: what it is", the type as LuaLS writes it
	get func(c *call, v *T) lua.LValue
	set func(c *call, v *T, x lua.LValue) error
}

// as is f with its documentation.
func (f field[T]) as(doc string) field[T] {
	f.doc = doc
	return f
}

type fields[T any] map[string]field[T]

// boundKind is what a world needs of a kind, whatever its type.
type boundKind interface {
	bind() any
	shape() shape
}

// kinds are all kinds, by id; filled while the package initialises.
var kinds []boundKind

func newKind[T any](k kind[T]) *kind[T] {
	p := &k
	p.id = len(kinds)
	p.names = slices.Concat(slices.Collect(maps.Keys(k.fields)), slices.Collect(maps.Keys(k.methods)))
	slices.Sort(p.names)
	kinds = append(kinds, p)
	return p
}

// lift makes fields of U out of those of a part of it.
func lift[U, T any](from fields[T], part func(*U) *T) fields[U] {
	out := make(fields[U], len(from))
	for name, f := range from {
		lifted := field[U]{doc: f.doc, get: func(c *call, v *U) lua.LValue { return f.get(c, part(v)) }}
		if f.set != nil {
			lifted.set = func(c *call, v *U, x lua.LValue) error { return f.set(c, part(v), x) }
		}
		out[name] = lifted
	}
	return out
}

// readOnly takes the setters away.
func readOnly[T any](from fields[T]) fields[T] {
	out := make(fields[T], len(from))
	for name, f := range from {
		out[name] = field[T]{doc: f.doc, get: f.get}
	}
	return out
}

// join puts tables of fields together; of one name the later counts.
func join[T any](tables ...fields[T]) fields[T] {
	out := make(fields[T])
	for _, t := range tables {
		maps.Copy(out, t)
	}
	return out
}

// ref is one object in a rule's hands. It is alive as long as the call that it
// was made for: afterwards the call's id has moved on, and touching the ref is
// a script error. It is not used a second time where somebody may have kept it, so
// that it cannot show the next client's event.
type ref[T any] struct {
	ud   lua.LUserData
	v    *T
	call *call
	id   uint64
}

func (r *ref[T]) alive() bool { return r.call.id == r.id }

// forget lets go of what the object shows: its slab lives on, and would keep the
// last events, with their payloads and sessions, from the collector.
func (r *ref[T]) forget() { r.v = nil }

// lent is v as the object of a handler that cannot keep it: the same one each time.
// A new one for each event took 64 bytes and, with their collection, a sixth of
// the time of an empty handler (BenchmarkEmptyHandler).
func lent[T any](c *call, k *kind[T], v *T) *lua.LUserData {
	if k.id >= len(c.lent) {
		c.lent = append(c.lent, make([]any, k.id+1-len(c.lent))...)
	}
	r, ok := c.lent[k.id].(*ref[T])
	if !ok {
		r = &ref[T]{call: c}
		r.ud.Value, r.ud.Metatable = r, c.world.slabs[k.id].(*slab[T]).meta
		c.lent[k.id] = r
	}
	r.v, r.id = v, c.id
	return &r.ud
}

// slabSize is how many refs are allocated at once: few enough that one kept by
// a rule does not hold much, enough that an event costs a fraction of an
// allocation (BenchmarkEmptyHandler).
const slabSize = 64

// slab hands out the objects of one kind in one world. Guarded by the world's lock.
type slab[T any] struct {
	kind *kind[T]
	meta *lua.LTable
	refs []ref[T]
	used int
}

// bind makes the slab of k for one world.
func (k *kind[T]) bind() any {
	meta := newTable()
	meta.RawSetString("__index", newFunction(k.indexer()))
	meta.RawSetString("__newindex", newFunction(k.assigner()))
	meta.RawSetString("__metatable", lua.LString("protected"))
	meta.RawSetString("__tostring", newFunction(func(L *lua.LState) int {
		L.Push(lua.LString(k.name))
		return 1
	}))
	if k.length != nil {
		meta.RawSetString("__len", newFunction(func(L *lua.LState) int {
			L.Push(lua.LNumber(k.length(self[T](L, k.name).v)))
			return 1
		}))
	}
	if k.walked {
		meta.RawSetString("__pairs", newFunction(func(L *lua.LState) int {
			r := self[T](L, k.name)
			L.Push(k.view(r.call, r.v))
			return 1
		}))
	}
	return &slab[T]{kind: k, meta: meta}
}

func (s *slab[T]) take(c *call, v *T) *lua.LUserData {
	if s.used == len(s.refs) {
		s.refs, s.used = make([]ref[T], slabSize), 0
	}
	r := &s.refs[s.used]
	s.used++
	r.v, r.call, r.id = v, c, c.id
	r.ud.Value, r.ud.Metatable = r, s.meta
	return &r.ud
}

// object is v as an object of c's handler: a new one.
func object[T any](c *call, k *kind[T], v *T) *lua.LUserData {
	return c.world.slabs[k.id].(*slab[T]).take(c, v)
}

// part is an object that belongs to another (ev.client): the same one each time
// it is read. nil reads as nil.
func part[T any](c *call, k *kind[T], v *T) lua.LValue {
	if v == nil {
		return lua.LNil
	}
	for _, ud := range c.parts {
		if r, ok := ud.Value.(*ref[T]); ok && r.v == v {
			return ud
		}
	}
	ud := object(c, k, v)
	c.parts = append(c.parts, ud)
	return ud
}

// self is the first argument of a method or metamethod: an object around a T
// that is still alive.
func self[T any](L *lua.LState, name string) *ref[T] {
	if ud, ok := L.Get(1).(*lua.LUserData); ok {
		if r, ok := ud.Value.(*ref[T]); ok {
			if !r.alive() {
				L.RaiseError("%s: event object used after its handler returned (copy what is needed later into locals)", name)
			}
			r.call.state = L
			return r
		}
	}
	L.RaiseError("%s: call it with a colon, object:method(…)", name)
	return nil
}

// indexer is __index.
func (k *kind[T]) indexer() lua.LGFunction {
	methods := make(map[string]*lua.LFunction, len(k.methods))
	for name, m := range k.methods {
		methods[name] = newFunction(m)
	}
	return func(L *lua.LState) int {
		r, key := self[T](L, k.name), L.Get(2)
		if name, ok := key.(lua.LString); ok {
			if f, ok := k.fields[string(name)]; ok {
				L.Push(f.get(r.call, r.v))
				return 1
			}
			if m, ok := methods[string(name)]; ok {
				L.Push(m)
				return 1
			}
		}
		if k.index != nil {
			x, err := k.index(r.call, r.v, key)
			if err != nil {
				L.RaiseError("%v", err)
			}
			L.Push(x)
			return 1
		}
		L.RaiseError("%s has no field %s", k.name, k.unknown(key))
		return 0
	}
}

// assigner is __newindex.
func (k *kind[T]) assigner() lua.LGFunction {
	return func(L *lua.LState) int {
		r, key, x := self[T](L, k.name), L.Get(2), L.Get(3)
		if name, ok := key.(lua.LString); ok {
			if f, ok := k.fields[string(name)]; ok {
				if f.set == nil {
					L.RaiseError("%s: %s is read-only", k.name, string(name))
				}
				r.call.touch()
				if err := f.set(r.call, r.v, x); err != nil {
					L.RaiseError("%s: %s %v", k.name, string(name), err)
				}
				return 0
			}
			if _, ok := k.methods[string(name)]; ok {
				L.RaiseError("%s: %s is read-only", k.name, string(name))
			}
		}
		if k.newIndex != nil {
			r.call.touch()
			if err := k.newIndex(r.call, r.v, key, x); err != nil {
				L.RaiseError("%v", err)
			}
			return 0
		}
		if len(k.fields) == 0 {
			L.RaiseError("%s is read-only", k.name)
		}
		L.RaiseError("%s has no field %s", k.name, k.unknown(key))
		return 0
	}
}

// unknown is a key that is no field, as an error text ends.
func (k *kind[T]) unknown(key lua.LValue) string {
	name, ok := key.(lua.LString)
	if !ok {
		return fmt.Sprintf("[%s]", describe(key))
	}
	return fmt.Sprintf("%q%s", clip(string(name)), meant(string(name), k.names))
}
