package lib

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// shareBelow is the document size up to which decoded strings are slices of the document. Above
// it each is copied, so that a script that keeps one field does not keep a megabyte with it.
const shareBelow = 4096

// Decode reads one JSON document, strictly as RFC 8259 has it, into Lua values.
//
// Objects become tables whose keys iterate in the order of the document, lists become tables that
// are marked as lists, null becomes Null. Integers beyond ±2^53 become strings; other numbers
// become the nearest float64, and one beyond its range is an error. Of equal member names the last
// counts. Spellings are kept: see Encode.
//
// Errors begin with "json: " and name the offset in bytes, counted from 0: syntax, invalid UTF-8,
// a lone surrogate, nesting deeper than MaxJSONDepth, more than MaxJSONItems items or members, more
// than MaxJSONText bytes. charge, which may be nil, is called with the cost in instructions while
// the work goes on, and may panic to stop it.
func Decode(L *lua.LState, data string, charge func(n int)) (lua.LValue, error) {
	if len(data) > MaxJSONText {
		return nil, fmt.Errorf("json: a document of %d bytes, at most %d are read", len(data), MaxJSONText)
	}
	d := decoders.Get().(*decoder)
	d.L, d.data, d.pos, d.depth = L, data, 0, 0
	d.share = len(data) <= shareBelow
	d.meter = meter{charge: charge}
	v, err := d.document()
	d.release()
	return v, err
}

// decoder reads one document. Members and items of the containers that are open lie on the
// stacks until their container closes, so that each table is made in its final size.
type decoder struct {
	L     *lua.LState
	data  string
	pos   int
	depth int
	share bool
	meter meter

	values  []lua.LValue
	keys    []string
	odd     []spelt // scalars that Encode would write otherwise
	scratch []byte  // a string whose escapes are being resolved
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// keepStack bounds, in entries and in bytes, what a decoder keeps for the next document.
const keepStack = 1024

func (d *decoder) release() {
	if cap(d.values) > keepStack || cap(d.keys) > keepStack || cap(d.odd) > keepStack || cap(d.scratch) > keepStack {
		return
	}
	d.pop(0, 0, 0)
	d.L, d.data, d.meter = nil, "", meter{}
	decoders.Put(d)
}

// pop empties the stacks down to the given heights and lets go of what was above.
func (d *decoder) pop(values, keys, odd int) {
	clear(d.values[values:])
	clear(d.keys[keys:])
	clear(d.odd[odd:])
	d.values, d.keys, d.odd = d.values[:values], d.keys[:keys], d.odd[:odd]
}

func (d *decoder) document() (lua.LValue, error) {
	d.meter.addBytes(len(d.data))
	if at := invalidUTF8(d.data); at >= 0 {
		return nil, d.fail(at, "invalid UTF-8")
	}
	v, _, err := d.value()
	if err != nil {
		return nil, err
	}
	if d.space(); d.pos < len(d.data) {
		return nil, d.unexpected("the end")
	}
	d.meter.flush()
	return v, nil
}

// invalidUTF8 returns the offset of the first byte that is not part of a character, -1 if none.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

func (d *decoder) fail(at int, what string) error {
	return fmt.Errorf("json: %s at offset %d", what, at)
}

// unexpected says what stands at pos in place of what was wanted.
func (d *decoder) unexpected(want string) error {
	if d.pos >= len(d.data) {
		return d.fail(d.pos, "the document ends where "+want+" should be")
	}
	r, _ := utf8.DecodeRuneInString(d.data[d.pos:])
	return d.fail(d.pos, fmt.Sprintf("%q where %s should be", r, want))
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\n', '\r', '\t':
			d.pos++
		default:
			return
		}
	}
}

// take skips white space and then c, if it is there.
func (d *decoder) take(c byte) bool {
	d.space()
	if d.pos < len(d.data) && d.data[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

// value reads any value. raw is its spelling if Encode would write it otherwise.
func (d *decoder) value() (v lua.LValue, raw string, err error) {
	d.space()
	if d.pos >= len(d.data) {
		return nil, "", d.unexpected("a value")
	}
	switch c := d.data[d.pos]; {
	case c == '{':
		v, err = d.container((*decoder).object)
		return v, "", err
	case c == '[':
		v, err = d.container((*decoder).list)
		return v, "", err
	case c == '"':
		d.meter.add(costScalar)
		s, raw, err := d.text()
		return lua.LString(s), raw, err
	case c == '-' || c-'0' <= 9:
		d.meter.add(costScalar)
		return d.number()
	}
	v, err = d.word()
	return v, "", err
}

func (d *decoder) word() (lua.LValue, error) {
	d.meter.add(costScalar)
	rest := d.data[d.pos:]
	switch {
	case strings.HasPrefix(rest, "null"):
		d.pos += 4
		return Null, nil
	case strings.HasPrefix(rest, "true"):
		d.pos += 4
		return lua.LTrue, nil
	case strings.HasPrefix(rest, "false"):
		d.pos += 5
		return lua.LFalse, nil
	}
	return nil, d.unexpected("a value")
}

// container reads what read reads, one level deeper.
func (d *decoder) container(read func(*decoder) (lua.LValue, error)) (lua.LValue, error) {
	if d.depth == MaxJSONDepth {
		return nil, d.fail(d.pos, fmt.Sprintf("nested deeper than %d levels", MaxJSONDepth))
	}
	d.depth++
	d.meter.add(costTable)
	d.pos++
	v, err := read(d)
	d.depth--
	return v, err
}

func (d *decoder) list() (lua.LValue, error) {
	values, keys, odd := len(d.values), len(d.keys), len(d.odd)
	for more := !d.take(']'); more; {
		n := len(d.values) - values + 1
		if n > MaxJSONItems {
			return nil, d.fail(d.pos, fmt.Sprintf("a list of more than %d items", MaxJSONItems))
		}
		v, raw, err := d.value()
		if err != nil {
			return nil, err
		}
		d.values = append(d.values, v)
		if raw != "" {
			d.odd = append(d.odd, spelt{at: n, raw: raw, value: v})
		}
		if more = d.take(','); !more && !d.take(']') {
			return nil, d.unexpected("',' or ']'")
		}
	}
	t := d.L.CreateTable(len(d.values)-values, 0)
	for _, v := range d.values[values:] {
		t.Append(v)
	}
	t.Metatable = &listMark.mark
	if len(d.odd) > odd {
		t.Metatable = &newSpelling(true, append([]spelt(nil), d.odd[odd:]...), false).mark
	}
	d.pop(values, keys, odd)
	return t, nil
}

func (d *decoder) object() (lua.LValue, error) {
	values, keys, odd := len(d.values), len(d.keys), len(d.odd)
	for more := !d.take('}'); more; {
		if len(d.values)-values == MaxJSONItems {
			return nil, d.fail(d.pos, fmt.Sprintf("an object of more than %d members", MaxJSONItems))
		}
		if err := d.member(); err != nil {
			return nil, err
		}
		if more = d.take(','); !more && !d.take('}') {
			return nil, d.unexpected("',' or '}'")
		}
	}
	t := d.closeObject(d.keys[keys:], d.values[values:], d.odd[odd:])
	d.pop(values, keys, odd)
	return t, nil
}

func (d *decoder) member() error {
	if d.space(); d.pos >= len(d.data) || d.data[d.pos] != '"' {
		return d.unexpected("a member name")
	}
	d.meter.add(costScalar)
	key, rawKey, err := d.text()
	if err != nil {
		return err
	}
	if !d.take(':') {
		return d.unexpected("':'")
	}
	v, raw, err := d.value()
	if err != nil {
		return err
	}
	d.keys = append(d.keys, key)
	d.values = append(d.values, v)
	if raw != "" || rawKey != "" {
		d.odd = append(d.odd, spelt{key: key, rawKey: rawKey, raw: raw, value: v})
	}
	return nil
}

// closeObject makes the table of an object. The interpreter keeps string keys in the order in
// which they were first set, which is what keeps the members in the order of the document.
func (d *decoder) closeObject(keys []string, values []lua.LValue, odd []spelt) *lua.LTable {
	t := d.L.CreateTable(0, max(len(keys), 1))
	doubled := false
	for i, key := range keys {
		doubled = doubled || len(odd) > 0 && t.RawGetString(key) != lua.LNil
		t.RawSetString(key, values[i])
	}
	if len(odd) > 0 {
		t.Metatable = &newSpelling(false, append([]spelt(nil), odd...), doubled).mark
	}
	return t
}

// keep makes a slice of the document safe to hold.
func (d *decoder) keep(s string) string {
	if d.share {
		return s
	}
	return strings.Clone(s)
}
