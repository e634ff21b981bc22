package scripting

import (
	"os"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/sandbox"
)

// envGet is env.get(name): the value, nil if it is not set. Only names that
// [scripting] env lists may be asked for.
func (w *world) envGet(L *lua.LState) int {
	const call = "env.get"
	argNone(L, 1, call)
	name := argBytes(L, 1, call, "the name")
	sandbox.Charge(L, kvCost)
	if allowed := w.generation.engine.options.Env; !slices.Contains(allowed, name) {
		L.RaiseError("%s: %q is not among the names in [scripting] env%s", call, clip(name), meant(name, allowed))
	}
	value, ok := os.LookupEnv(name)
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	sandbox.PushString(L, value)
	return 1
}
