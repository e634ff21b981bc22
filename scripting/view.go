package scripting

import (
	lua "github.com/yuin/gopher-lua"
)

// viewer is the slab of a kind, whatever its type.
type viewer interface {
	view(c *call, ud *lua.LUserData) (lua.LValue, bool)
}

// view is x as a value of its own: of an object a table of its fields, with
// what they are now.
func view(c *call, x lua.LValue) lua.LValue {
	ud, ok := x.(*lua.LUserData)
	if !ok {
		return x
	}
	for _, s := range c.world.slabs {
		if p, ok := s.(viewer).view(c, ud); ok {
			return p
		}
	}
	return x
}

func (s *slab[T]) view(c *call, ud *lua.LUserData) (lua.LValue, bool) {
	r, ok := ud.Value.(*ref[T])
	if !ok || ud.Metatable != lua.LValue(s.meta) || !r.alive() {
		return nil, false
	}
	return s.kind.viewOf(c, r.v), true
}

func (k *kind[T]) viewOf(c *call, v *T) lua.LValue {
	if k.view != nil {
		return k.view(c, v)
	}
	t := newTable()
	for _, name := range k.names {
		if f, ok := k.fields[name]; ok {
			t.RawSetString(name, view(c, f.get(c, v)))
		}
	}
	return t
}
