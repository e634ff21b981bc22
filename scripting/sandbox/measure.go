package sandbox

import (
	"fmt"
	"math/bits"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// A Measure estimates what the values of a world take, by walking all that its globals, modules,
// functions and kept threads lead to. gopher-lua cannot say, and the collector knows the process only.
//
// The walk goes step by step, so that the world is held for short times; what the rules change between
// two steps may be counted once, twice or not at all. Not seen are the stacks of calls that wait, and the
// long string that a short one was cut out of. TestMeasureIsHonest holds the rest against the heap.
type Measure struct {
	bytes int64
	seen  map[unsafe.Pointer]struct{}
	todo  []lua.LValue

	// The table under way, and how far it is done:
	table *tableLayout
	at    int
}

// NewMeasure begins at what the world leads to, and at what else the embedder keeps.
func (w *World) NewMeasure(more ...lua.LValue) *Measure {
	m := &Measure{seen: make(map[unsafe.Pointer]struct{})}
	m.visit(w.globals)
	m.visit(w.state.G.Registry)
	for _, v := range w.modules {
		m.visit(v)
	}
	for _, t := range w.free {
		m.bytes += threadBytes(t.L)
	}
	for _, v := range more {
		m.visit(v)
	}
	return m
}

// Bytes is the estimate so far.
func (m *Measure) Bytes() int64 { return m.bytes }

// Step visits about n values, 100 to 200 ns each, and says whether all are done.
func (m *Measure) Step(n int) (done bool) {
	for ; n > 0; n-- {
		switch {
		case m.table != nil:
			m.next()
		case len(m.todo) > 0:
			v := m.todo[len(m.todo)-1]
			m.todo = m.todo[:len(m.todo)-1]
			m.open(v)
		default:
			return true
		}
	}
	return false
}

// The sizes of what gopher-lua makes, of a 64-bit machine; those of the allocator's classes.
const (
	valueBytes    = 16 // an LValue
	stringBytes   = 16 // the header of a string in an LValue
	numberBytes   = 16 // 8 in an LValue, but the allocator packs two, and one keeps both
	tableBytes    = 96
	functionBytes = 64 + 8 // and a pointer
	upvalueBytes  = 64
	userdataBytes = 64 + 128 // and what is behind it
	frameBytes    = 80
	longString    = 32 // shorter ones are counted at each place: that costs less than to remember them
)

// visit counts what is small, and puts what leads on where it is opened later, once.
func (m *Measure) visit(v lua.LValue) {
	switch v := v.(type) {
	case lua.LString:
		if m.bytes += stringBytes; len(v) < longString {
			m.bytes += int64(len(v)+7) &^ 7
		} else if m.isNew(unsafe.Pointer(unsafe.StringData(string(v)))) {
			m.bytes += int64(len(v))
		}
	case lua.LNumber:
		m.bytes += numberBytes
	case *lua.LTable:
		m.later(unsafe.Pointer(v), v)
	case *lua.LFunction:
		m.later(unsafe.Pointer(v), v)
	case *lua.LUserData:
		m.later(unsafe.Pointer(v), v)
	case *lua.LState:
		m.later(unsafe.Pointer(v), v)
	}
}

func (m *Measure) isNew(p unsafe.Pointer) bool {
	before := len(m.seen)
	m.seen[p] = struct{}{}
	return len(m.seen) > before
}

func (m *Measure) later(p unsafe.Pointer, v lua.LValue) {
	if p != nil && m.isNew(p) {
		m.todo = append(m.todo, v)
	}
}

// open counts a value, and visits what it leads to.
func (m *Measure) open(v lua.LValue) {
	switch v := v.(type) {
	case *lua.LTable:
		m.table, m.at = layout(v), 0
		m.bytes += m.table.size()
		m.visit(v.Metatable)
	case *lua.LFunction:
		m.bytes += functionBytes
		for _, up := range v.Upvalues {
			m.bytes += 8
			if up != nil && m.isNew(unsafe.Pointer(up)) {
				m.bytes += upvalueBytes
				m.visit(upvalue(up))
			}
		}
	case *lua.LUserData:
		m.bytes += userdataBytes
		m.visit(v.Metatable)
	case *lua.LState:
		m.bytes += threadBytes(v)
		for _, x := range stack(v) {
			m.visit(x)
		}
	}
}

// upvalue is what an upvalue holds; nil for an open one of a thread whose registers are gone.
func upvalue(up *lua.Upvalue) (v lua.LValue) {
	defer func() { _ = recover() }()
	return up.Value()
}

// next visits one item of the table under way: of its list, then by its keys.
func (m *Measure) next() {
	t, i := m.table, m.at
	m.at++
	if i < len(t.array) {
		m.visit(t.array[i])
		return
	}
	if i -= len(t.array); i >= len(t.keys) {
		m.table = nil
		return
	}
	key := t.keys[i]
	m.visit(key)
	if s, ok := key.(lua.LString); ok {
		m.visit(t.strdict[string(s)])
	} else {
		m.visit(t.dict[key])
	}
}

// size is what a table takes without what it leads to.
func (t *tableLayout) size() int64 {
	return tableBytes + valueBytes*int64(cap(t.array)+cap(t.keys)) +
		mapBytes(*(*unsafe.Pointer)(unsafe.Pointer(&t.strdict)), len(t.strdict), 16+valueBytes) +
		mapBytes(*(*unsafe.Pointer)(unsafe.Pointer(&t.dict)), len(t.dict), 2*valueBytes) +
		mapBytes(*(*unsafe.Pointer)(unsafe.Pointer(&t.k2i)), len(t.k2i), valueBytes+8)
}

// mapBytes is what a map of Go takes (internal/runtime/maps): one group of 8 slots while it is small,
// then tables of a power of two of slots that are at most 7/8 full. gopher-lua makes many with room for
// 32 keys, which takes 2 KiB.
func mapBytes(p unsafe.Pointer, n, slot int) int64 {
	const header, group = 48, 8
	switch {
	case p == nil:
		return 0
	case isSmallMap(p):
		return header + int64(group+group*slot)
	}
	slots := max(64, 1<<bits.Len(uint(n*8/7)))
	return header + header + int64(slots*(slot+1))
}

// mapHeader is the beginning of internal/runtime/maps.Map of Go 1.24 to 1.26.
type mapHeader struct {
	used   uint64
	seed   uintptr
	dir    unsafe.Pointer
	dirLen int // 0 while there is one group
}

// knowsMaps says that a map looks as it should. If not, all are taken for large ones.
var knowsMaps = func() bool {
	small, large := make(map[string]lua.LValue, 1), make(map[string]lua.LValue, 32)
	header := func(m map[string]lua.LValue) *mapHeader { return *(**mapHeader)(unsafe.Pointer(&m)) }
	return header(small).dirLen == 0 && header(large).dirLen == 1
}()

func isSmallMap(p unsafe.Pointer) bool { return knowsMaps && (*mapHeader)(p).dirLen == 0 }

func threadBytes(L *lua.LState) int64 {
	return int64(registryCap(L))*valueBytes + int64(L.Options.CallStackSize)*frameBytes
}

// stack is what is on a thread's stack.
func stack(L *lua.LState) []lua.LValue {
	all := *(*[]lua.LValue)(unsafe.Add(registry(L), offRegArray))
	return all[:min(registryTop(L), len(all))]
}

// Largest names the largest table that is an upvalue of one of the functions, or of a function that is
// one: "seen, 120000 items"; "" if there is none. Tables in tables are not looked into.
func Largest(functions []*lua.LFunction) string {
	name, most := "", 0
	var look func(fn *lua.LFunction, deeper bool)
	look = func(fn *lua.LFunction, deeper bool) {
		for i, up := range fn.Upvalues {
			if up == nil || fn.Proto == nil || i >= len(fn.Proto.DbgUpvalues) {
				continue
			}
			switch v := upvalue(up).(type) {
			case *lua.LTable:
				if t := layout(v); len(t.array)+len(t.keys) > most {
					name, most = fn.Proto.DbgUpvalues[i], len(t.array)+len(t.keys)
				}
			case *lua.LFunction:
				if deeper {
					look(v, false)
				}
			}
		}
	}
	for _, fn := range functions {
		look(fn, true)
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %d items", name, most)
}
