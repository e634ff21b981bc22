package sandbox

import (
	lua "github.com/yuin/gopher-lua"
)

// pcall and xpcall. gopher-lua's catch everything, also the end of the budget, and an error that they
// catch closes the upvalues of all functions under way: a local of the function that called pcall and
// the closure over it then hold two values. With an error function gopher-lua leaves the upvalues alone,
// so ours always gives one, which closes those of the failed call and no others.

// callLua is L.Call out of a library function; a coroutine cannot yield across it.
func callLua(L *lua.LState, nargs, nret int) {
	if c, ok := L.Context().(*coroutine); ok {
		c.barriers++
		L.Call(nargs, nret)
		c.barriers--
		return
	}
	L.Call(nargs, nret)
}

// protected calls what is on top of the stack and returns the error value, if it failed with one that
// may be caught. onError, if not nil, runs where the error was raised and makes the value.
func protected(L *lua.LState, nargs int, onError *lua.LFunction) (lua.LValue, bool) {
	m := meterOf(L)
	base := registryTop(L) - nargs - 1
	threadHad, protects := *hasErrorFunc(L), len(m.protects)
	c, _ := L.Context().(*coroutine)
	barriers := 0
	if c != nil {
		barriers = c.barriers
		c.barriers++
	}
	m.protects = append(m.protects, base)
	err := L.PCall(nargs, lua.MultRet, m.world.errorFunc(onError))
	m.protects = m.protects[:protects]
	*hasErrorFunc(L) = threadHad // PCall forgets that there may be one further out
	if c != nil {
		c.barriers = barriers
	}
	if err == nil {
		return nil, false
	}
	closeUpvalues(L, base) // the error function could not run: the stack was full
	api, ok := err.(*lua.ApiError)
	if !ok {
		return lua.LString(err.Error()), true
	}
	if m.over != 0 {
		L.Error(api.Object, 0)
	}
	chargeError(L, api.Object)
	if s, ok := api.Object.(lua.LString); ok {
		return lua.LString(plainPanic(string(s))), true
	}
	return api.Object, true
}

// chargeError charges for an error that was caught: its text was built by gopher-lua, unseen.
func chargeError(L *lua.LState, v lua.LValue) {
	n := 0
	if s, ok := v.(lua.LString); ok {
		n = len(s) / bytesPerInstruction
	}
	Charge(L, int64(errorCost+n))
}

// errorFunc runs on the stack of the failed call.
func (w *World) errorFunc(onError *lua.LFunction) *lua.LFunction {
	if onError == nil {
		return w.closer
	}
	return w.NewFunction(func(L *lua.LState) int {
		closeFailed(L)
		if meterOf(L).over != 0 {
			return 1
		}
		v := L.Get(1)
		L.Push(onError)
		L.Push(v)
		callLua(L, 1, 1)
		return 1
	})
}

// closeFailed closes the upvalues of the innermost protected call of the running call; its argument,
// the error value, is its result.
func closeFailed(L *lua.LState) int {
	m := meterOf(L)
	closeUpvalues(L, m.protects[len(m.protects)-1])
	L.SetTop(1)
	return 1
}

func luaPcall(L *lua.LState) int {
	L.CheckAny(1)
	if v, failed := protected(L, L.GetTop()-1, nil); failed {
		L.Push(lua.LFalse)
		L.Push(v)
		return 2
	}
	L.Insert(lua.LTrue, 1)
	return L.GetTop()
}

func luaXpcall(L *lua.LState) int {
	L.CheckAny(1)
	handler := L.CheckFunction(2)
	L.Remove(2)
	if v, failed := protected(L, L.GetTop()-1, handler); failed {
		L.Push(lua.LFalse)
		L.Push(v)
		return 2
	}
	L.Insert(lua.LTrue, 1)
	return L.GetTop()
}
