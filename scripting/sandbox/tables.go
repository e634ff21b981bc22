package sandbox

import (
	"sort"

	lua "github.com/yuin/gopher-lua"
)

// The table library of Lua 5.1. Its functions are raw, as there: no metamethods.
var tableFuncs = map[string]lua.LGFunction{
	"concat": tabConcat,
	"getn":   func(L *lua.LState) int { L.Push(lua.LNumber(length(L, behind(L.CheckTable(1))))); return 1 },
	"insert": tabInsert,
	"maxn":   tabMaxN,
	"remove": tabRemove,
	"sort":   tabSort,
	"unpack": luaUnpack,
}

// length is #t; trailing nils, which gopher-lua steps over each time, are charged.
func length(L *lua.LState, t *lua.LTable) int {
	a := layout(t).array
	n := len(a)
	for n > 0 && a[n-1] == lua.LNil {
		n--
	}
	if skipped := len(a) - n; skipped >= visitsPerInstruction {
		Charge(L, int64(skipped/visitsPerInstruction))
	}
	return n
}

// lastIndex is argument n, or #t where it is absent.
func lastIndex(L *lua.LState, n int, t *lua.LTable) int {
	if L.Get(n) != lua.LNil {
		return checkInt(L, n)
	}
	return length(L, t)
}

func tabConcat(L *lua.LState) int {
	t := behind(L.CheckTable(1))
	sep := ""
	if L.Get(2) != lua.LNil {
		sep = checkText(L, 2)
	}
	from := optInt(L, 3, 1)
	to := lastIndex(L, 4, t)
	if from > to {
		L.Push(lua.LString(""))
		return 1
	}
	total := 0
	for i := from; i <= to; i++ { // ends at the first index that holds no text
		v := t.RawGet(lua.LNumber(i))
		s, ok := v.(lua.LString)
		if n, isNumber := v.(lua.LNumber); isNumber {
			s, ok = lua.LString(NumberString(n)), true
		}
		if !ok {
			L.RaiseError("invalid value (%s) at index %d in table for 'concat'", v.Type().String(), i)
		}
		total += len(s) + len(sep)
		if (i-from)%movesPerInstruction == 0 {
			Charge(L, movesPerInstruction/stepsPerInstruction)
			checkSize(L, total)
		}
	}
	CheckLength(L, total)
	b := make([]byte, 0, total)
	for i := from; i <= to; i++ {
		s, _ := textOf(t.RawGet(lua.LNumber(i)))
		b = appendText(L, b, s)
		if i < to {
			b = appendText(L, b, sep)
		}
	}
	L.Push(lua.LString(stringOf(b)))
	return 1
}

// checkSize raises the error of CheckLength without charging.
func checkSize(L *lua.LState, n int) {
	if n > meterOf(L).world.limits.MaxString {
		CheckLength(L, n)
	}
}

func tabInsert(L *lua.LState) int {
	t := writable(L, 1)
	n := length(L, t)
	pos, v := n+1, L.Get(2)
	switch L.GetTop() {
	case 2:
	case 3:
		pos, v = checkInt(L, 2), L.Get(3)
	default:
		L.RaiseError("wrong number of arguments to 'insert'")
	}
	if pos < 1 {
		argError(L, 2, "position out of bounds")
	}
	if pos > n {
		if pos > maxListIndex {
			listFull(L)
		}
		chargeKey(L, t, lua.LNumber(pos))
		t.RawSetInt(pos, v)
		return 0
	}
	if n >= maxListIndex {
		listFull(L)
	}
	Charge(L, int64((n-pos+1)/movesPerInstruction))
	tl := layout(t)
	tl.array = append(tl.array[:n], lua.LNil)
	copy(tl.array[pos:], tl.array[pos-1:n])
	tl.array[pos-1] = v
	return 0
}

func listFull(L *lua.LState) {
	meterOf(L).raise(L, Memory, "list is full (65535 items at most)")
}

func tabRemove(L *lua.LState) int {
	t := writable(L, 1)
	n := length(L, t)
	pos := optInt(L, 2, n)
	if pos < 1 || pos > n {
		return 0
	}
	Charge(L, int64((n-pos)/movesPerInstruction))
	tl := layout(t)
	L.Push(tl.array[pos-1])
	copy(tl.array[pos-1:], tl.array[pos:n])
	tl.array[n-1] = lua.LNil
	tl.array = tl.array[:n-1]
	return 1
}

func tabMaxN(L *lua.LState) int {
	t := behind(L.CheckTable(1))
	most := lua.LNumber(length(L, t))
	tl := layout(t)
	Charge(L, int64(len(tl.dict)/movesPerInstruction))
	for k := range tl.dict {
		if n, ok := k.(lua.LNumber); ok && n > most {
			most = n
		}
	}
	L.Push(most)
	return 1
}

// luaUnpack is unpack and table.unpack.
func luaUnpack(L *lua.LState) int {
	t := behind(L.CheckTable(1))
	from := optInt(L, 2, 1)
	to := lastIndex(L, 3, t)
	if from > to {
		return 0
	}
	n := to - from + 1
	if n > maxUnpack {
		L.RaiseError("too many results to unpack (%d at most)", maxUnpack)
	}
	Charge(L, int64(n/slotsPerInstruction))
	for i := from; i <= to; i++ {
		L.Push(t.RawGet(lua.LNumber(i)))
	}
	return n
}

// A sorter sorts a copy of the list: what the comparison does to the table meanwhile does no harm, and
// a comparison that contradicts itself gives some order and ends, since Go's sort looks at no index
// outside of the list and makes O(n log n) comparisons whatever they say.
type sorter struct {
	L      *lua.LState
	fn     lua.LValue // nil: <
	values []lua.LValue
	less   int // comparisons not charged yet
}

func (s *sorter) Len() int      { return len(s.values) }
func (s *sorter) Swap(i, j int) { s.values[i], s.values[j] = s.values[j], s.values[i] }

func (s *sorter) Less(i, j int) bool {
	a, b := s.values[i], s.values[j]
	if s.fn != nil {
		return lua.LVAsBool(call2(s.L, s.fn, a, b))
	}
	if s.less++; s.less == 64 {
		s.less = 0
		Charge(s.L, 64/comparesPerCharge)
	}
	if x, ok := a.(lua.LString); ok {
		if y, ok := b.(lua.LString); ok {
			if n := min(len(x), len(y)); n >= 1024 {
				Charge(s.L, int64(n/bytesPerInstruction))
			}
			return x < y
		}
	}
	return s.L.LessThan(a, b)
}

func tabSort(L *lua.LState) int {
	t := writable(L, 1)
	s := &sorter{L: L}
	if L.Get(2) != lua.LNil {
		s.fn = L.CheckFunction(2)
	}
	n := length(L, t)
	Charge(L, int64(n/stepsPerInstruction))
	s.values = append(s.values, layout(t).array[:n]...)
	for i, v := range s.values {
		if v == lua.LNil {
			L.RaiseError("cannot sort a list with a hole (index %d is nil)", i+1)
		}
	}
	sort.Sort(s)
	for i, v := range s.values {
		t.RawSetInt(i+1, v)
	}
	return 0
}
