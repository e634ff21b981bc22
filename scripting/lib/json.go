package lib

import (
	"errors"

	lua "github.com/yuin/gopher-lua"
)

// Limits of json in both directions.
const (
	// MaxJSONDepth is how many arrays and objects may be open at once. RFC 8259 section 9 leaves
	// the limit to the parser; 128 is far beyond real payloads and far below Go's stack.
	MaxJSONDepth = 128
	// MaxJSONItems is how many items a list, or members an object, may have: the script API
	// promises lists to 65 535 items, which is where the array part of a Lua table ends.
	MaxJSONItems = 65_535
	// MaxJSONText is the longest document read or written, in bytes.
	MaxJSONText = 16 << 20

	// maxSafeInteger is the largest n for which n and all smaller integers are float64 values
	// (RFC 8259 section 6 calls the range below it interoperable).
	maxSafeInteger = 1 << 53
)

// Null stands for JSON's null in Lua values, in every world the same one: a script compares with
// json.null. It is a userdata without fields; it counts as true and prints as "json.null".
var Null lua.LValue = &lua.LUserData{Value: nullMark{}, Metatable: sealed("json.null")}

type nullMark struct{}

// listMark marks a table as a JSON list that carries no spellings. Shared by all worlds, immutable.
var listMark = newSpelling(true, nil, false)

// spellingSeal is the metatable of the userdata that carry spellings. Immutable.
var spellingSeal = sealed("json")

// sealed returns a metatable that a script can neither read nor replace: getmetatable shows the
// name, setmetatable refuses.
func sealed(name string) *lua.LTable {
	t := &lua.LTable{Metatable: lua.LNil}
	t.RawSetString("__metatable", lua.LString(name))
	show := func(L *lua.LState) int {
		L.Push(lua.LString(name))
		return 1
	}
	t.RawSetString("__tostring", &lua.LFunction{IsG: true, Env: &lua.LTable{Metatable: lua.LNil}, GFunction: show})
	return t
}

// spelling remembers how the scalars of one decoded table were written, for those that Encode
// would write otherwise (1.10, 1e3, "\u00e9", integers that became strings), and whether the table
// is a list. Immutable once its table is handed out.
//
// It hangs where a metatable would, as a userdata: the interpreter looks for metamethods in
// metatables that are tables only, so pairs, # and next see nothing, getmetatable shows an opaque
// value, and setmetatable simply replaces it (the table is then encoded like any other).
// A table without such scalars carries none and costs nothing.
type spelling struct {
	mark    lua.LUserData
	list    bool
	doubled bool // a member name came twice: fields is not in the order of the table's keys
	fields  []spelt
}

// spelt is one scalar as it came. It holds while the table's value still equals value.
type spelt struct {
	key    string // members: the name
	at     int    // items: the 1-based position
	rawKey string // the name as it came, quoted; "" if Encode would write the same
	raw    string // the value as it came; "" if Encode would write the same
	value  lua.LValue
}

func newSpelling(list bool, fields []spelt, doubled bool) *spelling {
	s := &spelling{list: list, doubled: doubled, fields: fields}
	s.mark.Value = s
	s.mark.Metatable = spellingSeal
	return s
}

// spellingOf returns what t carries, nil for a table that carries none.
func spellingOf(t *lua.LTable) *spelling {
	if ud, ok := t.Metatable.(*lua.LUserData); ok {
		if s, ok := ud.Value.(*spelling); ok {
			return s
		}
	}
	return nil
}

// MarkArray marks t as a list, so that Encode writes [] for it while it is empty and refuses
// members with names. The mark hangs where a metatable would: a table that has one is refused.
func MarkArray(t *lua.LTable) error {
	if s := spellingOf(t); s != nil && s.list {
		return nil
	}
	if _, ok := t.Metatable.(*lua.LTable); ok {
		return errors.New("json.array: the table has a metatable")
	}
	t.Metatable = &listMark.mark
	return nil
}

// IsArray says whether t came from a JSON list or was marked with MarkArray.
func IsArray(t *lua.LTable) bool {
	s := spellingOf(t)
	return s != nil && s.list
}

// Costs in instructions of the script's budget. A scalar takes about as long as an instruction of
// the interpreter (tens of nanoseconds), a table some ten times that, a byte of text about 1 ns.
const (
	costScalar   = 1
	costTable    = 8
	bytesPerCost = 16
	costBatch    = 128
)

// meter gathers costs so that charge is called once per costBatch, not once per value.
type meter struct {
	charge func(int)
	due    int
}

func (m *meter) add(n int) {
	if m.due += n; m.due >= costBatch {
		m.flush()
	}
}

func (m *meter) addBytes(n int) { m.add((n + bytesPerCost - 1) / bytesPerCost) }

// flush hands on what is due. charge may panic to stop the script; nothing here needs undoing.
func (m *meter) flush() {
	n := m.due
	m.due = 0
	if n > 0 && m.charge != nil {
		m.charge(n)
	}
}
