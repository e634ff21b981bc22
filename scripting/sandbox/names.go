package sandbox

import (
	"slices"

	lua "github.com/yuin/gopher-lua"
)

// Names are the names in a library table, sorted; of the globals for "".
func (w *World) Names(lib string) []string {
	t := w.libs[lib]
	if lib == "" {
		t = w.globals
	}
	var names []string
	if t != nil {
		t.ForEach(func(k, _ lua.LValue) {
			if s, ok := k.(lua.LString); ok {
				names = append(names, string(s))
			}
		})
	}
	slices.Sort(names)
	return names
}

// Lib is what a library table has under a name, nil if there is no such table.
func (w *World) Lib(lib, name string) lua.LValue {
	if t := w.libs[lib]; t != nil {
		return t.RawGetString(name)
	}
	return lua.LNil
}

// IsLib says whether a global is a library table.
func (w *World) IsLib(name string) bool { return w.libs[name] != nil }
