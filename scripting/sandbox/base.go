package sandbox

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The basic functions of Lua 5.1 without those that load code or change environments.
var baseFuncs = map[string]lua.LGFunction{
	"assert":       luaAssert,
	"error":        luaError,
	"getmetatable": luaGetMetatable,
	"next":         luaNext,
	"pcall":        luaPcall,
	"print":        luaPrint,
	"rawequal":     luaRawEqual,
	"rawget":       luaRawGet,
	"rawset":       luaRawSet,
	"require":      luaRequire,
	"select":       luaSelect,
	"setmetatable": luaSetMetatable,
	"tonumber":     luaToNumber,
	"tostring":     luaToString,
	"type":         luaType,
	"unpack":       luaUnpack,
	"xpcall":       luaXpcall,
}

func luaAssert(L *lua.LState) int {
	if lua.LVAsBool(L.CheckAny(1)) {
		return L.GetTop()
	}
	if L.GetTop() >= 2 {
		L.Error(L.Get(2), 0)
	}
	L.RaiseError("assertion failed!")
	return 0
}

func luaError(L *lua.LState) int {
	v, level := L.Get(1), optInt(L, 2, 1)
	if s, ok := textOf(v); ok && level > 0 {
		if where := L.Where(min(level, callDepth)); where != "" && !strings.HasPrefix(where, "[G]") {
			v = lua.LString(where + " " + s)
		}
	}
	L.Error(v, 0)
	return 0
}

func luaGetMetatable(L *lua.LState) int {
	L.Push(L.GetMetatable(L.CheckAny(1)))
	return 1
}

func luaSetMetatable(L *lua.LState) int {
	t := L.CheckTable(1)
	mt := L.Get(2)
	if mt != lua.LNil && mt.Type() != lua.LTTable || L.GetTop() < 2 {
		argError(L, 2, "nil or table expected")
	}
	if L.GetMetaField(t, "__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected metatable")
	}
	if m, ok := mt.(*lua.LTable); ok && behind(m) != m {
		argError(L, 2, "a read-only table cannot be a metatable")
	}
	t.Metatable = mt
	L.SetTop(1)
	return 1
}

func luaPrint(L *lua.LState) int {
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(toText(L, L.Get(i)))
		CheckLength(L, b.Len())
	}
	if f := meterOf(L).world.limits.Print; f != nil {
		f(b.String())
	}
	return 0
}

func luaRawEqual(L *lua.LState) int {
	L.Push(lua.LBool(L.RawEqual(L.CheckAny(1), L.CheckAny(2))))
	return 1
}

func luaRawGet(L *lua.LState) int {
	L.Push(behind(L.CheckTable(1)).RawGet(L.CheckAny(2)))
	return 1
}

func luaRawSet(L *lua.LState) int {
	t, k, v := L.CheckTable(1), L.CheckAny(2), L.CheckAny(3)
	if real := behind(t); real != t {
		L.SetTable(t, k, v) // a global before Seal, else the error of the read-only table
		L.SetTop(1)
		return 1
	}
	chargeKey(L, t, k)
	L.RawSet(t, k, v)
	if v == lua.LNil {
		trim(t, k)
	}
	L.SetTop(1)
	return 1
}

func luaSelect(L *lua.LState) int {
	n := L.GetTop()
	if s, ok := L.Get(1).(lua.LString); ok && s == "#" {
		L.Push(lua.LNumber(n - 1))
		return 1
	}
	i := checkInt(L, 1)
	if i < 0 {
		i += n
	} else {
		i = min(i, n)
	}
	if i < 1 {
		argError(L, 1, "index out of range")
	}
	return n - i
}

func luaType(L *lua.LState) int {
	L.Push(typeNames[L.CheckAny(1).Type()])
	return 1
}

// typeNames spares an allocation for each call of type.
var typeNames = func() (names [int(lua.LTChannel) + 1]lua.LValue) {
	for i := range names {
		names[i] = lua.LString(lua.LValueType(i).String())
	}
	return names
}()

// toText is tostring.
func toText(L *lua.LState, v lua.LValue) string {
	if s, ok := textOf(v); ok {
		return s
	}
	if fn, ok := L.GetMetaField(v, "__tostring").(*lua.LFunction); ok {
		L.Push(fn)
		L.Push(v)
		callLua(L, 1, 1)
		s, ok := textOf(L.Get(-1))
		L.Pop(1)
		if !ok {
			L.RaiseError("'__tostring' must return a string")
		}
		return s
	}
	return v.String()
}

func luaToString(L *lua.LState) int {
	v := L.CheckAny(1)
	if _, ok := v.(lua.LString); ok {
		L.SetTop(1)
		return 1
	}
	L.Push(lua.LString(toText(L, v)))
	return 1
}

func luaToNumber(L *lua.LState) int {
	v := L.CheckAny(1)
	base := 10
	if L.Get(2) != lua.LNil {
		base = checkInt(L, 2)
	}
	if base == 10 {
		if n, ok := toNumber(v); ok {
			L.Push(n)
		} else {
			L.Push(lua.LNil)
		}
		return 1
	}
	if base < 2 || base > 36 {
		argError(L, 2, "base out of range")
	}
	s, ok := textOf(v)
	if !ok {
		L.TypeError(1, lua.LTString)
	}
	if n, ok := parseBase(trimSpace(s), base); ok {
		L.Push(n)
	} else {
		L.Push(lua.LNil)
	}
	return 1
}

func trimSpace(s string) string { return strings.Trim(s, " \t\n\v\f\r") }

// maxNumeral is longer than any sensible number; longer texts are none.
const maxNumeral = 512

// toNumber converts as Lua does: decimal or hexadecimal, spaces around. gopher-lua's tonumber does not
// know exponents without a point; Go's parser knows inf, nan, 1_000 and 0b1, which are no Lua numbers.
func toNumber(v lua.LValue) (lua.LNumber, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return v, true
	case lua.LString:
		return parseNumber(trimSpace(string(v)))
	}
	return 0, false
}

func parseNumber(s string) (lua.LNumber, bool) {
	if len(s) == 0 || len(s) > maxNumeral {
		return 0, false
	}
	body := strings.TrimLeft(s, "+-")
	if len(s)-len(body) > 1 {
		return 0, false
	}
	if len(body) > 2 && body[0] == '0' && body[1]|0x20 == 'x' {
		n, ok := parseBase(body[2:], 16)
		if s[0] == '-' {
			n = -n
		}
		return n, ok
	}
	for i := range len(body) {
		if c := body[i]; (c < '0' || c > '9') && strings.IndexByte(".eE+-", c) < 0 {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) { // 1e999 is infinite, as strtod says
		return 0, false
	}
	return lua.LNumber(f), true
}

func parseBase(s string, base int) (lua.LNumber, bool) {
	if s == "" || len(s) > maxNumeral {
		return 0, false
	}
	neg := s[0] == '-'
	if neg || s[0] == '+' {
		s = s[1:]
	}
	f := 0.0
	for i := range len(s) {
		d := 99
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			d = int(c|0x20-'a') + 10
		}
		if d >= base {
			return 0, false
		}
		f = f*float64(base) + float64(d)
	}
	if neg {
		f = -f
	}
	return lua.LNumber(f), s != ""
}
