package scripting

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// jwtCost is a signature of the cheap kind in instructions (20 to 90 µs); the
// dear ones wait, and are not the world's time.
const jwtCost = 3000

// jwtVerify is crypto.jwt_verify(token, key_or_set): the claims as json.decode
// has them; or nil and why the token does not hold, which is no script error, for
// tokens come from anybody. It waits: others use the world meanwhile.
func (w *world) jwtVerify(L *lua.LState) int {
	const call = "crypto.jwt_verify"
	argNone(L, 2, call)
	token, keys := argBytes(L, 1, call, "the token"), argBytes(L, 2, call, "the key")
	sandbox.Charge(L, jwtCost+int64(len(token)+len(keys))/8)
	var claims string
	var err error
	now := w.generation.engine.options.Now()
	wait(L, func(time.Duration) { claims, err = lib.JWTVerify(token, keys, now) })
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString(clipTo(err.Error(), maxMessage)))
		return 2
	}
	t, err := lib.Decode(L, claims, chargeFor(L))
	if err != nil {
		L.RaiseError("%s: %v", call, err)
	}
	L.Push(t)
	return 1
}
