package sandbox

import (
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// SetLoader says where require finds its modules. Each is run once per world, at file scope; what it
// returns (true if nothing) is kept.
func (w *World) SetLoader(load func(name string) (*Chunk, error)) { w.loader = load }

func luaRequire(L *lua.LState) int {
	w := meterOf(L).world
	name := L.CheckString(1)
	if v, ok := w.modules[name]; ok {
		L.Push(v)
		return 1
	}
	if slices.Contains(w.loading, name) {
		L.RaiseError("modules require each other: %s", strings.Join(append(slices.Clone(w.loading), name), " → "))
	}
	switch {
	case w.sealed:
		L.RaiseError("module '%s' is not loaded: require it at file scope, not in a handler", name)
	case w.loader == nil:
		L.RaiseError("module '%s' not found", name)
	}
	c, err := w.loader(name)
	if err != nil {
		L.RaiseError("module '%s': %s", name, err.Error())
	}
	w.loading = append(w.loading, name)
	depth := len(w.loading)
	defer func() { w.loading = w.loading[:depth-1] }()
	v := w.runModule(L, c, name)
	w.modules[name] = v
	L.Push(v)
	return 1
}

func (w *World) runModule(L *lua.LState, c *Chunk, name string) lua.LValue {
	w.chunks[c.name] = c
	L.Push(w.state.NewFunctionFromProto(c.proto))
	for _, h := range w.hidden {
		L.Push(h)
	}
	callLua(L, len(w.hidden), 1)
	L.Push(lua.LString(name))
	callLua(L, 1, 1)
	v := L.Get(-1)
	L.Pop(1)
	if v == lua.LNil {
		return lua.LTrue
	}
	return v
}
