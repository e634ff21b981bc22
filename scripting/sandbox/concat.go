package sandbox

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// NumberString is a number as Lua 5.1 writes it: integers in full, others with 14 digits ("%.14g").
// gopher-lua's own way writes 1234567.5 as 1.2345675e+06.
func NumberString(n lua.LNumber) string {
	var buf [32]byte
	return string(appendNumber(buf[:0], n))
}

func appendNumber(b []byte, n lua.LNumber) []byte {
	f := float64(n)
	switch {
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(b, int64(f), 10)
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case math.IsNaN(f):
		return append(b, "nan"...)
	}
	return strconv.AppendFloat(b, f, 'g', 14, 64)
}

// luaConcat is what `a .. b .. c` has become.
func luaConcat(L *lua.LState) int {
	n := L.GetTop()
	total := 0
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			total += len(v)
		case lua.LNumber:
			total += 24
		default:
			return concatMeta(L, n)
		}
	}
	CheckLength(L, total)
	buf := make([]byte, 0, total)
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			buf = appendText(L, buf, string(v))
		case lua.LNumber:
			buf = appendNumber(buf, v)
		}
	}
	L.Push(lua.LString(stringOf(buf)))
	return 1
}

// concatMeta concatenates from the right, two at a time, as Lua does where metamethods take part.
func concatMeta(L *lua.LState, n int) int {
	acc := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		ls, ok1 := textOf(left)
		rs, ok2 := textOf(acc)
		if ok1 && ok2 {
			CheckLength(L, len(ls)+len(rs))
			acc = lua.LString(stringOf(appendText(L, appendText(L, make([]byte, 0, len(ls)+len(rs)), ls), rs)))
			continue
		}
		op := L.GetMetaField(left, "__concat")
		if op == lua.LNil {
			op = L.GetMetaField(acc, "__concat")
		}
		if op == lua.LNil {
			bad, at := left, i
			if ok1 {
				bad, at = acc, i+1
			}
			L.RaiseError("attempt to concatenate a %s value%s", bad.Type().String(), concatName(L, n, at))
		}
		acc = call2(L, op, left, acc)
	}
	L.Push(acc)
	return 1
}

// textOf is a string or number as a string.
func textOf(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return NumberString(v), true
	}
	return "", false
}

// call2 calls a Lua value with two arguments for one result.
func call2(L *lua.LState, fn, a, b lua.LValue) lua.LValue {
	L.Push(fn)
	L.Push(a)
	L.Push(b)
	callLua(L, 2, 1)
	v := L.Get(-1)
	L.Pop(1)
	return v
}

// concatName is " (local 'x')" for operand i of n, found by the line of the call; "" if several calls on
// that line disagree.
func concatName(L *lua.LState, n, i int) string {
	file, line, ok := splitPosition(L.Where(1))
	if !ok {
		return ""
	}
	c := meterOf(L).world.chunks[file]
	if c == nil {
		return ""
	}
	name := ""
	for _, names := range c.concats[line] {
		if len(names) != n {
			continue
		}
		if name != "" && names[i-1] != name {
			return ""
		}
		name = names[i-1]
	}
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// splitPosition takes "file:line:" apart.
func splitPosition(where string) (string, int, bool) {
	where = strings.TrimSuffix(where, ":")
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return "", 0, false
	}
	line, err := strconv.Atoi(where[i+1:])
	return where[:i], line, err == nil
}

// luaSetIndex is what `t[k] = v` has become.
func luaSetIndex(L *lua.LState) int {
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		L.SetTable(L.Get(1), L.Get(2), L.Get(3))
		return 0
	}
	k := L.Get(2)
	if t.Metatable != lua.LNil {
		chargeKey(L, assigned(t, k), k)
		L.SetTable(t, k, L.Get(3))
	} else {
		chargeKey(L, t, k)
		L.RawSet(t, k, L.Get(3))
	}
	if L.Get(3) == lua.LNil {
		trim(t, k)
	}
	return 0
}

// assigned is the table that t[k] = v changes: t, or one that its __newindex leads to.
func assigned(t *lua.LTable, k lua.LValue) *lua.LTable {
	for range lua.MaxTableGetLoop {
		mt, ok := t.Metatable.(*lua.LTable)
		if !ok || t.RawGet(k) != lua.LNil {
			return t
		}
		next, ok := mt.RawGetString("__newindex").(*lua.LTable)
		if !ok {
			return t
		}
		t = next
	}
	return t
}

// trim takes the nils off the end of a list whose last item was set to nil. gopher-lua leaves them, and
// each # steps over all of them: emptying a list of 40 000 by t[#t] = nil would take a second.
func trim(t *lua.LTable, k lua.LValue) {
	tl := layout(t)
	n := len(tl.array)
	if last, ok := k.(lua.LNumber); !ok || n == 0 || last != lua.LNumber(n) {
		return
	}
	for n > 0 && tl.array[n-1] == lua.LNil {
		n--
	}
	tl.array = tl.array[:n]
}

// luaPush is what `t[#t + 1] = v` has become.
func luaPush(L *lua.LState) int {
	t, ok := L.Get(1).(*lua.LTable)
	if ok && t.Metatable == lua.LNil {
		n := length(L, t)
		if n >= maxListIndex {
			listFull(L)
		}
		t.RawSetInt(n+1, L.Get(2))
		return 0
	}
	if !ok && L.GetMetaField(L.Get(1), "__len") == lua.LNil {
		L.RaiseError("attempt to get length of a %s value", L.Get(1).Type().String())
	}
	k := lua.LNumber(L.ObjLen(L.Get(1)) + 1)
	if ok {
		chargeKey(L, assigned(t, k), k)
	}
	L.SetTable(L.Get(1), k, L.Get(2))
	return 0
}

// luaCheckKey stands around the key in table constructors.
func luaCheckKey(L *lua.LState) int {
	chargeKey(L, nil, L.Get(1))
	L.SetTop(1)
	return 1
}

// luaAll stands around what gives a table constructor its last items, any number of them.
func luaAll(L *lua.LState) int {
	n := L.GetTop()
	if n >= slotsPerInstruction {
		Charge(L, int64(n/slotsPerInstruction))
	}
	return n
}

// chargeKey charges for the slots that assigning to t[k] will make: gopher-lua fills a list up to the
// index. t is nil for a table that is still empty.
func chargeKey(L *lua.LState, t *lua.LTable, k lua.LValue) {
	n, ok := k.(lua.LNumber)
	if !ok {
		if t != nil {
			compact(L, layout(t), k)
		}
		return
	}
	if n < 1 || n > maxListIndex || n != lua.LNumber(int(n)) {
		if t != nil {
			compact(L, layout(t), k)
		}
		return
	}
	gap := int(n) - 1
	if t != nil {
		gap -= len(layout(t).array)
	}
	if gap < slotsPerInstruction {
		return
	}
	Charge(L, int64(gap/slotsPerInstruction))
	if t != nil && t.Metatable == lua.LNil { // at once: gopher-lua appends the nils one by one
		tl := layout(t)
		tl.array = slices.Grow(tl.array, gap+1)
	}
}

// compact drops removed keys from a table's list of keys when most of them are: gopher-lua never does,
// and a rule that keeps something per client would grow for ever. It happens as a new key comes in,
// which Lua does not allow during a traversal, so no traversal loses its place.
func compact(L *lua.LState, t *tableLayout, k lua.LValue) {
	live := len(t.dict) + len(t.strdict)
	if len(t.keys) < 64 || len(t.keys) < 2*live || k == lua.LNil {
		return
	}
	if _, known := t.k2i[k]; known {
		return
	}
	Charge(L, int64(len(t.keys)/slotsPerInstruction))
	keys := make([]lua.LValue, 0, live+1)
	k2i := make(map[lua.LValue]int, live+1)
	for _, key := range t.keys {
		if _, ok := t.hash(key); ok {
			k2i[key] = len(keys)
			keys = append(keys, key)
		}
	}
	t.keys, t.k2i = keys, k2i
}

// hash is the value of a key that is not in the list part.
func (t *tableLayout) hash(k lua.LValue) (lua.LValue, bool) {
	if s, ok := k.(lua.LString); ok {
		v, ok := t.strdict[string(s)]
		return v, ok
	}
	v, ok := t.dict[k]
	return v, ok
}

// argError raises "bad argument #n to …".
func argError(L *lua.LState, n int, format string, args ...any) {
	L.ArgError(n, fmt.Sprintf(format, args...))
}
