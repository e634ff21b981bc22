package scripting

import (
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// maxLimiterKeys bounds the keys that all limiters of an engine remember.
const maxLimiterKeys = 100_000

// rateLimiter is rate.limiter(per_second, burst). A limiter is known by the
// file that makes it: by its number among those made while the file loads, so
// it keeps its tokens over a reload and is the same in all worlds; in a handler
// by the line.
func (w *world) rateLimiter(L *lua.LState) int {
	const call = "rate.limiter"
	argNone(L, 2, call)
	sandbox.Charge(L, kvCost)
	perSecond, burst := argNumber(L, 1, call, "per_second"), argNumber(L, 2, call, "burst")
	if perSecond <= 0 || burst <= 0 {
		L.RaiseError("%s: per_second and burst must be above 0, not %v and %v", call, perSecond, burst)
	}
	l := &limiter{world: w, id: place(L), perSecond: perSecond, burst: burst}
	if w.loading != nil {
		file, _, _ := strings.Cut(l.id, ":")
		w.loading.limiters[file]++
		l.id = file + "#" + strconv.Itoa(w.loading.limiters[file])
	}
	L.Push(&lua.LUserData{Value: l, Metatable: w.limiterMeta})
	return 1
}

// limiter is a limiter in a rule's hands. The shared one behind it is taken at
// its first use: a set that is loaded aside, and may be refused, must not change
// the rates of the one that runs. Guarded by its world's lock.
type limiter struct {
	world            *world
	id               string
	perSecond, burst float64
	shared           *lib.Limiter // nil until used
}

// limiterMethods are l:allow(key [, n]).
var limiterMethods = map[string]lua.LGFunction{
	"allow": func(L *lua.LState) int {
		const call = "limiter:allow"
		l := limiterArg(L, call)
		inHandler(L, call)
		argNone(L, 3, call)
		sandbox.Charge(L, kvCost)
		key, n := argBytes(L, 2, call, "the key"), 1.0
		if L.Get(3) != lua.LNil {
			if n = argNumber(L, 3, call, "n"); n < 0 {
				L.RaiseError("%s: n must not be negative, it is %v", call, n)
			}
		}
		if l.shared == nil {
			l.shared = l.world.generation.engine.limiters.Limiter(l.id, l.perSecond, l.burst)
		}
		L.Push(boolean(l.shared.Allow(key, n)))
		return 1
	},
}

func limiterArg(L *lua.LState, call string) *limiter {
	if ud, ok := L.Get(1).(*lua.LUserData); ok {
		if l, ok := ud.Value.(*limiter); ok {
			return l
		}
	}
	L.RaiseError("%s: call it with a colon, limiter:allow(key)", call)
	return nil
}

// limiterFile is the file that made a limiter.
func limiterFile(id string) string {
	if at := strings.LastIndexAny(id, "#:"); at >= 0 {
		return id[:at]
	}
	return id
}
