package sandbox

import (
	"fmt"
	"reflect"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// Some bounds need what gopher-lua keeps to itself: the array part of a table (to charge for what an
// assignment would allocate, to move its elements once instead of one by one), its list of keys (which
// only ever grows), and the open upvalues of a thread (which pcall must close from the failed call up,
// and not below; gopher-lua closes all of them, and the locals of functions that go on running come
// apart from their closures). They are reached by offset; init holds the layout against the one
// expected, so that another version of gopher-lua fails at start and not in a rule.

// tableLayout is lua.LTable of gopher-lua v1.1.2.
type tableLayout struct {
	Metatable lua.LValue

	array   []lua.LValue
	dict    map[lua.LValue]lua.LValue
	strdict map[string]lua.LValue
	keys    []lua.LValue
	k2i     map[lua.LValue]int
}

func layout(t *lua.LTable) *tableLayout { return (*tableLayout)(unsafe.Pointer(t)) }

var (
	offHasErrorFunc uintptr // LState.hasErrorFunc bool
	offUvcache      uintptr // LState.uvcache *Upvalue
	offReg          uintptr // LState.reg *registry
	offRegArray     uintptr // registry.array []LValue
	offRegTop       uintptr // registry.top int
	offUvNext       uintptr // Upvalue.next *Upvalue
	offUvIndex      uintptr // Upvalue.index int
)

func init() {
	lua.MaxArrayIndex = maxListIndex + 1
	lua.CompatVarArg = false // the `arg` of Lua 5.0: a table for each call of a function with `...`

	ours, theirs := reflect.TypeFor[tableLayout](), reflect.TypeFor[lua.LTable]()
	if ours.NumField() != theirs.NumField() {
		panic("sandbox: the layout of gopher-lua's LTable has changed")
	}
	for i := range ours.NumField() {
		a, b := ours.Field(i), theirs.Field(i)
		if a.Name != b.Name || a.Offset != b.Offset || a.Type != b.Type {
			panic(fmt.Sprintf("sandbox: gopher-lua's LTable.%s has changed", b.Name))
		}
	}
	state := reflect.TypeFor[lua.LState]()
	offHasErrorFunc = offsetOf(state, "hasErrorFunc", "bool")
	offUvcache = offsetOf(state, "uvcache", "*lua.Upvalue")
	offReg = offsetOf(state, "reg", "*lua.registry")
	reg, _ := state.FieldByName("reg")
	offRegArray = offsetOf(reg.Type.Elem(), "array", "[]lua.LValue")
	offRegTop = offsetOf(reg.Type.Elem(), "top", "int")
	uv := reflect.TypeFor[lua.Upvalue]()
	offUvNext = offsetOf(uv, "next", "*lua.Upvalue")
	offUvIndex = offsetOf(uv, "index", "int")
}

func offsetOf(t reflect.Type, field, typ string) uintptr {
	f, ok := t.FieldByName(field)
	if !ok || f.Type.String() != typ {
		panic(fmt.Sprintf("sandbox: gopher-lua's %s.%s is not a %s any more", t.Name(), field, typ))
	}
	return f.Offset
}

func hasErrorFunc(L *lua.LState) *bool {
	return (*bool)(unsafe.Add(unsafe.Pointer(L), offHasErrorFunc))
}

func registry(L *lua.LState) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(L), offReg))
}

func registryTop(L *lua.LState) int {
	return *(*int)(unsafe.Add(registry(L), offRegTop))
}

func registryCap(L *lua.LState) int {
	return cap(*(*[]lua.LValue)(unsafe.Add(registry(L), offRegArray)))
}

// closeUpvalues closes the open upvalues of L at registry index base and above. The list is in rising
// order of index.
func closeUpvalues(L *lua.LState, base int) {
	link := (**lua.Upvalue)(unsafe.Add(unsafe.Pointer(L), offUvcache))
	for *link != nil && *(*int)(unsafe.Add(unsafe.Pointer(*link), offUvIndex)) < base {
		link = (**lua.Upvalue)(unsafe.Add(unsafe.Pointer(*link), offUvNext))
	}
	uv := *link
	*link = nil
	for uv != nil {
		uv.Close()
		if uv.Value() == nil { // the registers were cleared before: a stack overflow
			uv.SetValue(lua.LNil)
		}
		uv = *(**lua.Upvalue)(unsafe.Add(unsafe.Pointer(uv), offUvNext))
	}
}
