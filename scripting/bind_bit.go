package scripting

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// bitCalls are bit.band, bor, bxor, bnot, lshift and rshift. Results are 0 to
// 2^32-1; arguments are whole numbers from -2^31 on, a negative one by its two's
// complement. A shift by 32 or more leaves nothing.
var bitCalls = map[string]lua.LGFunction{
	"band":   bitFold("bit.band", math.MaxUint32, func(a, b uint32) uint32 { return a & b }),
	"bor":    bitFold("bit.bor", 0, func(a, b uint32) uint32 { return a | b }),
	"bxor":   bitFold("bit.bxor", 0, func(a, b uint32) uint32 { return a ^ b }),
	"lshift": bitShift("bit.lshift", func(a uint32, n uint) uint32 { return a << n }),
	"rshift": bitShift("bit.rshift", func(a uint32, n uint) uint32 { return a >> n }),
	"bnot": func(L *lua.LState) int {
		argNone(L, 1, "bit.bnot")
		L.Push(number(^bitArg(L, 1, "bit.bnot")))
		return 1
	},
}

// bitArg is argument n.
func bitArg(L *lua.LState, n int, call string) uint32 {
	x, err := toInteger(L.Get(n), math.MinInt32, math.MaxUint32)
	if err != nil {
		L.RaiseError("%s: argument %d %v", call, n, err)
	}
	return uint32(int64(x))
}

// bitFold is a call of one or more arguments.
func bitFold(call string, start uint32, op func(a, b uint32) uint32) lua.LGFunction {
	return func(L *lua.LState) int {
		sum := op(start, bitArg(L, 1, call))
		for n := 2; n <= L.GetTop(); n++ {
			sum = op(sum, bitArg(L, n, call))
		}
		L.Push(number(sum))
		return 1
	}
}

func bitShift(call string, op func(a uint32, n uint) uint32) lua.LGFunction {
	return func(L *lua.LState) int {
		argNone(L, 2, call)
		a := bitArg(L, 1, call)
		n, err := toInteger(L.Get(2), 0, math.MaxUint32)
		if err != nil {
			L.RaiseError("%s: the distance %v", call, err)
		}
		L.Push(number(op(a, uint(n))))
		return 1
	}
}
