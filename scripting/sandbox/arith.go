package sandbox

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// Arithmetic on strings. gopher-lua reads "010" as octal, and takes "0b1" and "1_000" for numbers; it asks
// for metamethods first, so ours stand in the metatable of strings.
var arithmetic = map[string]func(a, b lua.LNumber) lua.LNumber{
	"__add": func(a, b lua.LNumber) lua.LNumber { return a + b },
	"__sub": func(a, b lua.LNumber) lua.LNumber { return a - b },
	"__mul": func(a, b lua.LNumber) lua.LNumber { return a * b },
	"__div": func(a, b lua.LNumber) lua.LNumber { return a / b },
	"__mod": func(a, b lua.LNumber) lua.LNumber {
		return a - lua.LNumber(math.Floor(float64(a/b)))*b // luai_nummod of Lua 5.1's luaconf.h
	},
	"__pow": func(a, b lua.LNumber) lua.LNumber { return lua.LNumber(math.Pow(float64(a), float64(b))) },
	"__unm": func(a, _ lua.LNumber) lua.LNumber { return -a },
}

// arithmeticOf is the metamethod of strings for an operator; __unm gets its operand alone.
func arithmeticOf(event string) lua.LGFunction {
	compute := arithmetic[event]
	return func(L *lua.LState) int {
		a, b := L.Get(1), L.Get(2)
		if L.GetTop() < 2 {
			b = a
		}
		x, ok1 := toNumber(a)
		y, ok2 := toNumber(b)
		if ok1 && ok2 {
			L.Push(compute(x, y))
			return 1
		}
		if op := L.GetMetaField(b, event); a.Type() == lua.LTString && b.Type() != lua.LTString && op != lua.LNil {
			L.Push(call2(L, op, a, b))
			return 1
		}
		bad := a
		if ok1 {
			bad = b
		}
		L.RaiseError("attempt to perform arithmetic on a %s value", bad.Type().String())
		return 0
	}
}

// withNumbers is a function of the math library whose arguments may be strings that are numbers.
func withNumbers(f lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		for i := 1; i <= L.GetTop(); i++ {
			if s, ok := L.Get(i).(lua.LString); ok {
				if n, ok := toNumber(s); ok {
					L.Replace(i, n)
				} else {
					L.TypeError(i, lua.LTNumber)
				}
			}
		}
		return f(L)
	}
}
