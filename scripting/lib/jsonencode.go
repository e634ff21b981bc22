package lib

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// Encode writes v as JSON without white space.
//
// A table with the keys 1 to n is a list, one with string keys an object in the order in which the
// keys were first set; an empty table is {}, or [] if it came from a list or was marked by
// MarkArray. Metamethods are not asked. Integers up to ±2^53 are written without a fraction, other
// numbers as the shortest decimal that reads back the same. Fields of a decoded table that still
// have the value they came with are written as they came: 1.10 stays 1.10, and an integer that was
// decoded to a string is a number again.
//
// Errors are of type *EncodeError and name the place: NaN and infinities, strings that are not
// UTF-8, mixed or missing keys, functions and other values JSON has no words for, nil (write
// json.null), nesting deeper than MaxJSONDepth (a table that contains itself), more than
// MaxJSONItems items or members, more than MaxJSONText bytes. charge is as in Decode.
func Encode(_ *lua.LState, v lua.LValue, charge func(n int)) (string, error) {
	e := encoders.Get().(*encoder)
	e.buf, e.depth, e.meter = e.buf[:0], 0, meter{charge: charge}
	err := e.value(v)
	if err == nil {
		e.meter.addBytes(len(e.buf) - e.charged)
		e.meter.flush()
	}
	text := ""
	if err == nil {
		text = string(e.buf)
	}
	e.release()
	return text, err
}

// EncodeError says why a value has no JSON, and where it is.
type EncodeError struct {
	Reason string
	Path   string // from the outermost value, such as .a[3].b; "" for that value itself
}

// maxPathShown bounds the path in the text of an EncodeError, in bytes.
const maxPathShown = 120

func (e *EncodeError) Error() string {
	if e.Path == "" {
		return "json: " + e.Reason
	}
	return "json: " + e.Reason + " at " + clip(e.Path, maxPathShown)
}

// clip cuts s to at most n bytes, at a character, and shows that it did.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func cannot(format string, args ...any) error {
	return &EncodeError{Reason: fmt.Sprintf(format, args...)}
}

// within puts a step in front of the path of an error.
func within(err error, step string) error {
	if e, ok := err.(*EncodeError); ok {
		e.Path = step + e.Path
	}
	return err
}

type encoder struct {
	buf     []byte
	charged int // bytes of buf that are charged
	depth   int
	meter   meter
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// keepBuffer is the largest buffer an encoder keeps for the next value, in bytes.
const keepBuffer = 64 << 10

func (e *encoder) release() {
	if cap(e.buf) > keepBuffer {
		return
	}
	e.charged, e.meter = 0, meter{}
	encoders.Put(e)
}

func (e *encoder) value(v lua.LValue) error {
	switch x := v.(type) {
	case lua.LString:
		return e.text(string(x))
	case lua.LNumber:
		return e.number(float64(x))
	case lua.LBool:
		e.buf = strconv.AppendBool(e.buf, bool(x))
		return e.account(costScalar)
	case *lua.LTable:
		return e.table(x)
	}
	switch {
	case v == Null:
		e.buf = append(e.buf, "null"...)
		return e.account(costScalar)
	case v == nil || v == lua.LNil:
		return cannot("nil (json.null writes null)")
	}
	return cannot("a %s cannot be written", v.Type())
}

// account charges what was just written and refuses when it became too much.
func (e *encoder) account(cost int) error {
	if len(e.buf) > MaxJSONText {
		return cannot("the text is longer than %d bytes", MaxJSONText)
	}
	if n := (len(e.buf) - e.charged) / bytesPerCost; n > 0 {
		e.charged += n * bytesPerCost
		cost += n
	}
	e.meter.add(cost)
	return nil
}

// minPlain and maxPlain bound the numbers that are written without an exponent, as in ECMAScript
// (ECMA-262, Number::toString), which most readers print.
const (
	minPlain = 1e-6
	maxPlain = 1e21
)

func (e *encoder) number(f float64) error {
	switch size := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return cannot("%v is not a JSON number", f)
	case size <= maxSafeInteger && f == math.Trunc(f):
		e.buf = strconv.AppendInt(e.buf, int64(f), 10)
	case size >= minPlain && size < maxPlain:
		e.buf = strconv.AppendFloat(e.buf, f, 'f', -1, 64)
	default:
		e.buf = strconv.AppendFloat(e.buf, f, 'e', -1, 64)
	}
	return e.account(costScalar)
}

func (e *encoder) text(s string) error {
	if len(e.buf)+len(s) > MaxJSONText {
		return cannot("the text is longer than %d bytes", MaxJSONText)
	}
	if at := invalidUTF8(s); at >= 0 {
		return cannot("a string that is not UTF-8 (byte %d)", at)
	}
	e.buf = appendQuoted(e.buf, s)
	return e.account(costScalar)
}

// escapedByte holds the letters of the short escapes, by the byte they stand for.
var escapedByte = [256]byte{
	'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't',
}

// appendQuoted writes a string, escaping what RFC 8259 section 7 says must be escaped, no more.
func appendQuoted(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plainByte[c] {
			continue
		}
		buf = append(buf, s[start:i]...)
		start = i + 1
		if letter := escapedByte[c]; letter != 0 {
			buf = append(buf, '\\', letter)
			continue
		}
		buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	buf = append(buf, s[start:]...)
	return append(buf, '"')
}

func (e *encoder) table(t *lua.LTable) error {
	if e.depth == MaxJSONDepth {
		return cannot("nested deeper than %d levels (a table that contains itself?)", MaxJSONDepth)
	}
	e.depth++
	s := spellingOf(t)
	items := t.Len()
	e.meter.add(costTable)
	var err error
	if items > 0 || s != nil && s.list {
		err = e.list(t, items, s)
	} else {
		err = e.object(t, s)
	}
	e.depth--
	return err
}

// list writes the items of t; the last one is at items.
func (e *encoder) list(t *lua.LTable, items int, s *spelling) error {
	if err := checkListKeys(t, items); err != nil {
		return err
	}
	var odd []spelt
	if s != nil && s.list {
		odd = s.fields
	}
	e.buf = append(e.buf, '[')
	for i := 1; i <= items; i++ {
		if i > 1 {
			e.buf = append(e.buf, ',')
		}
		for len(odd) > 0 && odd[0].at < i {
			odd = odd[1:]
		}
		raw := ""
		v := t.RawGetInt(i)
		if len(odd) > 0 && odd[0].at == i && v == odd[0].value {
			raw = odd[0].raw
		}
		if err := e.item(v, raw); err != nil {
			return within(err, "["+strconv.Itoa(i)+"]")
		}
	}
	e.buf = append(e.buf, ']')
	return e.account(0)
}

// checkListKeys refuses a list that is too long or has any key beside 1 to items.
func checkListKeys(t *lua.LTable, items int) error {
	last := lua.LValue(lua.LNil)
	if items > 0 {
		last = lua.LNumber(items)
	}
	extra, _ := t.Next(last)
	if n, ok := extra.(lua.LNumber); items > MaxJSONItems || ok && n > MaxJSONItems && items == MaxJSONItems {
		return cannot("a list of more than %d items", MaxJSONItems)
	}
	if extra != lua.LNil {
		return cannot("a list that also has the key %s", shownKey(extra))
	}
	return nil
}

// item writes a value, as raw if it has not changed since it came.
func (e *encoder) item(v lua.LValue, raw string) error {
	switch {
	case v == lua.LNil:
		return cannot("a list with a gap (json.null writes null)")
	case raw != "":
		e.buf = append(e.buf, raw...)
		return e.account(costScalar)
	}
	return e.value(v)
}

func (e *encoder) object(t *lua.LTable, s *spelling) error {
	e.buf = append(e.buf, '{')
	odd := oddMembers(t, s)
	members := 0
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		key, ok := k.(lua.LString)
		if !ok {
			return cannot("a table with the key %s is neither a list nor an object", shownKey(k))
		}
		if members++; members > MaxJSONItems {
			return cannot("an object of more than %d members", MaxJSONItems)
		}
		if members > 1 {
			e.buf = append(e.buf, ',')
		}
		if err := e.member(string(key), v, odd.find(string(key))); err != nil {
			return within(err, shownStep(string(key)))
		}
	}
	e.buf = append(e.buf, '}')
	return e.account(0)
}

// member writes a name and its value; known is how they came, or nil.
func (e *encoder) member(key string, v lua.LValue, known *spelt) error {
	raw := ""
	if known != nil && v == known.value {
		raw = known.raw
	}
	if known != nil && known.rawKey != "" {
		e.buf = append(e.buf, known.rawKey...)
	} else if err := e.text(key); err != nil {
		return err
	}
	e.buf = append(e.buf, ':')
	return e.item(v, raw)
}

// members finds the spellings of an object while its keys are walked in their order.
type members struct {
	table *lua.LTable
	rest  []spelt           // in the order of the keys, those before the walk cut off
	index map[string]*spelt // in place of rest, where a name came twice
}

func oddMembers(t *lua.LTable, s *spelling) members {
	switch {
	case s == nil || s.list:
		return members{}
	case !s.doubled:
		return members{table: t, rest: s.fields}
	}
	index := make(map[string]*spelt, len(s.fields))
	for i := range s.fields {
		f := &s.fields[i]
		index[f.key] = f
	}
	return members{index: index}
}

// find returns how the member key came, nil if as it would be written anyway. Members that the
// script removed are passed over; the walk is in the order of rest, so the next of those that
// remain is this one or a later one.
func (m *members) find(key string) *spelt {
	if m.index != nil {
		return m.index[key]
	}
	for len(m.rest) > 0 && m.rest[0].key != key && m.table.RawGetString(m.rest[0].key) == lua.LNil {
		m.rest = m.rest[1:]
	}
	if len(m.rest) == 0 || m.rest[0].key != key {
		return nil
	}
	found := &m.rest[0]
	m.rest = m.rest[1:]
	return found
}

// maxKeyShown bounds a key in a path, in bytes.
const maxKeyShown = 40

// shownStep is one member in a path: .name, or ["a name"] where the name is no Lua name.
func shownStep(key string) string {
	for i, c := range []byte(key) {
		isLetter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !isLetter && (i == 0 || c-'0' > 9) {
			return "[" + strconv.Quote(clip(key, maxKeyShown)) + "]"
		}
	}
	if key == "" {
		return `[""]`
	}
	return "." + clip(key, maxKeyShown)
}

func shownKey(k lua.LValue) string {
	if s, ok := k.(lua.LString); ok {
		return strconv.Quote(clip(string(s), maxKeyShown))
	}
	return clip(k.String(), maxKeyShown)
}
