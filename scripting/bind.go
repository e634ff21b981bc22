package scripting

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// openLibs makes the library tables. What a library does is in package lib;
// here arguments are checked and work is charged.
func (w *world) openLibs() {
	w.Register("json", map[string]lua.LGFunction{"decode": jsonDecode, "encode": jsonEncode, "array": jsonArray})
	w.SetConst("json", "null", lib.Null)
	w.Register("kv", w.kvCalls())
	w.Register("log", w.logCalls())
	w.Register("time", w.timeCalls())
	w.Register("rate", map[string]lua.LGFunction{"limiter": w.rateLimiter})
	w.Register("bit", bitCalls)
	w.Register("bytes", bytesCalls)
	w.Register("re", w.reCalls())
	w.Register("metrics", w.metricCalls())
	w.Register("env", map[string]lua.LGFunction{"get": w.envGet})
	w.Register("crypto", hashCalls)
	w.Register("crypto", map[string]lua.LGFunction{"jwt_verify": w.jwtVerify})
	w.Register("crypto", map[string]lua.LGFunction{"verify_password": w.verifyPassword, "equal": cryptoEqual})
}

// chargeFor is Charge for package lib, which does not charge while it waits: the call
// may be another's by then.
func chargeFor(L *lua.LState) func(int) {
	if c := running(L); c != nil {
		return c.pays
	}
	return func(n int) { sandbox.Charge(L, int64(n)) }
}

// jsonDecode is json.decode(text). Text that is not JSON is a script error with
// the place; pcall(json.decode, text) is for payloads that may be anything.
func jsonDecode(L *lua.LState) int {
	argNone(L, 1, "json.decode")
	v, err := lib.Decode(L, argBytes(L, 1, "json.decode", "the text"), chargeFor(L))
	if err != nil {
		L.RaiseError("json.decode: %v", err)
	}
	L.Push(v)
	return 1
}

// jsonEncode is json.encode(value).
func jsonEncode(L *lua.LState) int {
	argNone(L, 1, "json.encode")
	s, err := lib.Encode(L, L.Get(1), chargeFor(L))
	if err != nil {
		L.RaiseError("json.encode: %v", err)
	}
	sandbox.PushString(L, s)
	return 1
}

// jsonArray is json.array([t]): marks t as a list, which counts while it is empty.
func jsonArray(L *lua.LState) int {
	argNone(L, 1, "json.array")
	t := newTable()
	if L.GetTop() > 0 {
		given, ok := L.Get(1).(*lua.LTable)
		if !ok {
			L.RaiseError("json.array: want a table, not %s", describe(L.Get(1)))
		}
		t = given
	}
	if err := lib.MarkArray(t); err != nil {
		L.RaiseError("%v", err)
	}
	L.Push(t)
	return 1
}

// timeCalls are time.now, mono, format and parse.
func (w *world) timeCalls() map[string]lua.LGFunction {
	e := w.generation.engine
	return map[string]lua.LGFunction{
		"now": func(L *lua.LState) int {
			L.Push(lua.LNumber(seconds(e.options.Now())))
			return 1
		},
		"mono": func(L *lua.LState) int {
			L.Push(lua.LNumber(e.options.Now().Sub(e.started).Seconds()))
			return 1
		},
		"format": timeFormat,
		"parse":  timeParse,
	}
}

// textCost is what formatting or parsing a time costs, in instructions (some 300 ns).
const textCost = 20

// timeFormat is time.format(t [, layout [, zone]]).
func timeFormat(L *lua.LState) int {
	argNone(L, 3, "time.format")
	sandbox.Charge(L, textCost)
	s, err := lib.Format(argNumber(L, 1, "time.format", "the time"), optionalArg(L, 2, "time.format", "layout"), optionalArg(L, 3, "time.format", "zone"))
	if err != nil {
		L.RaiseError("time.format: %v", err)
	}
	L.Push(lua.LString(s))
	return 1
}

// timeParse is time.parse(text [, layout]); text that does not fit is a script error.
func timeParse(L *lua.LState) int {
	argNone(L, 2, "time.parse")
	sandbox.Charge(L, textCost)
	t, err := lib.Parse(argBytes(L, 1, "time.parse", "the text"), optionalArg(L, 2, "time.parse", "layout"))
	if err != nil {
		L.RaiseError("time.parse: %v", err)
	}
	L.Push(lua.LNumber(t))
	return 1
}

// optionalArg is a string argument, "" if it is not given.
func optionalArg(L *lua.LState, n int, call, name string) string {
	if L.Get(n) == lua.LNil {
		return ""
	}
	return argBytes(L, n, call, name)
}

// cryptoEqual is crypto.equal(a, b), in a time that tells nothing of the contents.
func cryptoEqual(L *lua.LState) int {
	argNone(L, 2, "crypto.equal")
	a, b := argBytes(L, 1, "crypto.equal", "the first text"), argBytes(L, 2, "crypto.equal", "the second text")
	sandbox.Charge(L, textCost+int64(len(a)+len(b))/16)
	L.Push(boolean(lib.Equal(a, b)))
	return 1
}

// duration is a number of seconds as Go has it; false for what is no time span.
func duration(s float64) (time.Duration, bool) {
	const most = float64(1<<63-1) / float64(time.Second)
	if !(s > 0 && s < most) {
		return 0, false
	}
	return max(time.Duration(s*float64(time.Second)), 1), true
}
