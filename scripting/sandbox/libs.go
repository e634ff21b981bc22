package sandbox

import (
	"math"
	"math/rand/v2"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// originals are the functions of gopher-lua that ours are built on. They belong to no state.
var originals = func() (o struct {
	create, resume, traceback lua.LGFunction
	math                      map[string]lua.LGFunction
}) {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer L.Close()
	open := func(name string, opener lua.LGFunction) *lua.LTable {
		L.Push(L.NewFunction(opener))
		L.Push(lua.LString(name))
		L.Call(1, 0)
		return L.GetGlobal(name).(*lua.LTable)
	}
	function := func(t *lua.LTable, name string) lua.LGFunction {
		return t.RawGetString(name).(*lua.LFunction).GFunction
	}
	co := open(lua.CoroutineLibName, lua.OpenCoroutine)
	o.create, o.resume = function(co, "create"), function(co, "resume")
	o.traceback = function(open(lua.DebugLibName, lua.OpenDebug), "traceback")
	o.math = map[string]lua.LGFunction{}
	open(lua.MathLibName, lua.OpenMath).ForEach(func(k, v lua.LValue) {
		if f, ok := v.(*lua.LFunction); ok {
			o.math[k.String()] = withNumbers(f.GFunction)
		}
	})
	return o
}()

var started = time.Now()

func (w *World) openLibs() {
	for name, fn := range baseFuncs {
		w.SetGlobal(name, w.NewFunction(fn))
	}
	w.SetGlobal("pairs", w.NewFunction(pairsOf(w.globals.RawGetString("next").(*lua.LFunction))))
	w.SetGlobal("ipairs", w.NewFunction(ipairsOf(w.NewFunction(ipairsNext))))
	w.SetGlobal("_G", w.global)
	w.SetGlobal("_VERSION", lua.LString(lua.LuaVersion))

	w.Register("string", stringFuncs)
	w.Register("table", tableFuncs)
	w.Register("coroutine", coroutineFuncs)
	w.Register("debug", map[string]lua.LGFunction{"traceback": luaTraceback})
	w.Register("os", map[string]lua.LGFunction{"clock": osClock, "date": osDate, "time": osTime})
	w.Register("math", originals.math)
	w.Register("math", map[string]lua.LGFunction{
		"random":     mathRandom,
		"randomseed": func(*lua.LState) int { return 0 }, // the source is the process's
	})
	w.SetConst("math", "pi", lua.LNumber(math.Pi))
	w.SetConst("math", "huge", lua.LNumber(math.Inf(1)))

	strings := newTable() // the metatable of all strings
	strings.RawSetString("__index", w.libs["string"])
	strings.RawSetString("__metatable", lua.LFalse)
	for event := range arithmetic {
		strings.RawSetString(event, w.NewFunction(arithmeticOf(event)))
	}
	w.state.SetMetatable(lua.LString(""), strings)
}

func luaTraceback(L *lua.LState) int {
	Charge(L, errorCost)
	n := originals.traceback(L)
	CheckLength(L, len(L.Get(-1).String()))
	return n
}

func mathRandom(L *lua.LState) int {
	low, high := 1.0, 0.0
	switch L.GetTop() {
	case 0:
		L.Push(lua.LNumber(rand.Float64()))
		return 1
	case 1:
		high = math.Floor(checkFloat(L, 1))
	default:
		low, high = math.Floor(checkFloat(L, 1)), math.Floor(checkFloat(L, 2))
	}
	if !(low <= high) || math.Abs(low) > 1<<53 || math.Abs(high) > 1<<53 {
		argError(L, L.GetTop(), "interval is empty")
	}
	L.Push(lua.LNumber(low + float64(rand.Uint64N(uint64(high-low)+1))))
	return 1
}

func osClock(L *lua.LState) int {
	L.Push(lua.LNumber(time.Since(started).Seconds()))
	return 1
}

func osTime(L *lua.LState) int {
	if L.Get(1) == lua.LNil {
		L.Push(lua.LNumber(meterOf(L).world.limits.Now().Unix()))
		return 1
	}
	d := behind(L.CheckTable(1))
	field := func(name string, def int) int {
		n, ok := toNumber(d.RawGetString(name))
		if !ok {
			if def < 0 {
				L.RaiseError("field '%s' missing in date table", name)
			}
			return def
		}
		return clampInt(float64(n))
	}
	t := time.Date(field("year", -1), time.Month(field("month", -1)), field("day", -1),
		field("hour", 12), field("min", 0), field("sec", 0), 0, time.Local)
	L.Push(lua.LNumber(t.Unix()))
	return 1
}
