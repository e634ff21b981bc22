package sandbox

import (
	lua "github.com/yuin/gopher-lua"
)

// next, pairs and ipairs. gopher-lua's Next steps over removed keys without counting, and takes a key
// that is not in the table for the first one.

// follow is the entry after key: the list part, then the keys in their order.
func follow(L *lua.LState, t *tableLayout, key lua.LValue) (lua.LValue, lua.LValue) {
	i := 0 // into array, then behind it into keys
	switch n, isNumber := key.(lua.LNumber); {
	case key == lua.LNil:
	case isNumber && n >= 1 && n <= maxListIndex && n == lua.LNumber(int(n)):
		i = min(int(n), len(t.array))
	default:
		at, ok := t.k2i[key]
		if !ok {
			L.RaiseError("invalid key to 'next'")
		}
		i = len(t.array) + at + 1
	}
	from := i
	defer func() {
		if n := i - from; n >= visitsPerInstruction {
			Charge(L, int64(n/visitsPerInstruction))
		}
	}()
	for ; i < len(t.array); i++ {
		if v := t.array[i]; v != lua.LNil {
			return lua.LNumber(i + 1), v
		}
	}
	for ; i-len(t.array) < len(t.keys); i++ {
		k := t.keys[i-len(t.array)]
		if v, ok := t.hash(k); ok && v != lua.LNil {
			return k, v
		}
	}
	return lua.LNil, lua.LNil
}

func luaNext(L *lua.LState) int {
	t := layout(behind(L.CheckTable(1)))
	k, v := follow(L, t, L.Get(2))
	L.Push(k)
	if k == lua.LNil {
		return 1
	}
	L.Push(v)
	return 2
}

// pairsOf returns the function pairs, which gives `next`. A userdata whose metatable has __pairs, a function
// that makes a table of it, is walked as that.
func pairsOf(next *lua.LFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		if ud, ok := L.Get(1).(*lua.LUserData); ok {
			if mt, ok := ud.Metatable.(*lua.LTable); ok {
				if walk, ok := mt.RawGetString("__pairs").(*lua.LFunction); ok {
					L.Push(walk)
					L.Push(ud)
					callLua(L, 1, 1)
					L.Replace(1, L.Get(-1))
				}
			}
		}
		t := L.CheckTable(1)
		L.Push(next)
		L.Push(t)
		L.Push(lua.LNil)
		return 3
	}
}

func ipairsNext(L *lua.LState) int {
	t := L.CheckTable(1)
	i := checkInt(L, 2) + 1
	v := behind(t).RawGetInt(i)
	if v == lua.LNil {
		return 0
	}
	L.Push(lua.LNumber(i))
	L.Push(v)
	return 2
}

func ipairsOf(next *lua.LFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		t := L.CheckTable(1)
		L.Push(next)
		L.Push(t)
		L.Push(lua.LNumber(0))
		return 3
	}
}
