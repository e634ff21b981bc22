package scripting

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"lunamq/scripting/lib"
	"lunamq/scripting/sandbox"
)

// maxLiteralDepth bounds tables in tables that are written: a table may hold itself.
const maxLiteralDepth = 32

// lineWidth is how long a table may be on one line, in bytes.
const lineWidth = 72

// literal writes a plain value on one line, as a rule would: {a = 1, b = "x"}.
// Keys are sorted, so equal values have equal texts.
func literal(x lua.LValue) string { return literalAt(x, 0) }

func literalAt(x lua.LValue, depth int) string {
	switch x := x.(type) {
	case lua.LString:
		return quote(string(x))
	case lua.LNumber:
		return numberLiteral(float64(x))
	case *lua.LTable:
		if depth == maxLiteralDepth {
			return "{…}"
		}
		parts, n := []string{}, listLen(x)
		for i := 1; i <= n; i++ {
			parts = append(parts, literalAt(x.RawGetInt(i), depth+1))
		}
		for _, k := range otherKeys(x, n) {
			parts = append(parts, keyLiteral(k)+" = "+literalAt(x.RawGet(k), depth+1))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case *lua.LUserData:
		if lua.LValue(x) == lua.LValue(lib.Null) {
			return "json.null"
		}
	}
	if x == lua.LNil || x.Type() == lua.LTBool {
		return x.String()
	}
	return "(" + x.Type().String() + ")"
}

func numberLiteral(n float64) string {
	switch {
	case math.IsInf(n, 1):
		return "math.huge"
	case math.IsInf(n, -1):
		return "-math.huge"
	case n != n:
		return "0/0"
	}
	return sandbox.NumberString(lua.LNumber(n))
}

// quote is a string in quotes, single ones where that spares escapes; bytes
// that are no text as decimal escapes.
func quote(s string) string {
	var b strings.Builder
	mark := byte('"')
	if strings.Contains(s, `"`) && !strings.Contains(s, `'`) {
		mark = '\''
	}
	b.WriteByte(mark)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == rune(mark) || r == '\\':
			b.WriteString(`\` + s[:n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f || r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\%03d`, s[0])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	b.WriteByte(mark)
	return b.String()
}

// listLen is the length of the list part, however it is stored.
func listLen(t *lua.LTable) int {
	n := 0
	for t.RawGetInt(n+1) != lua.LNil {
		n++
	}
	return n
}

// otherKeys are the keys that are not in the list part: names, then the rest.
func otherKeys(t *lua.LTable, n int) []lua.LValue {
	var keys []lua.LValue
	t.ForEach(func(k, _ lua.LValue) {
		if i, ok := k.(lua.LNumber); !ok || !(float64(i) >= 1 && float64(i) <= float64(n) && float64(i) == math.Trunc(float64(i))) {
			keys = append(keys, k)
		}
	})
	slices.SortFunc(keys, func(a, b lua.LValue) int { return strings.Compare(keyLiteral(a), keyLiteral(b)) })
	return keys
}

// keyLiteral is a key of a table constructor: name, ["two words"], [5].
func keyLiteral(k lua.LValue) string {
	if s, ok := k.(lua.LString); ok && isName(string(s)) {
		return string(s)
	}
	return "[" + literalAt(k, maxLiteralDepth) + "]"
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// lines writes a value over several lines where one is not enough, for a diff.
func lines(x lua.LValue) []string {
	return appendLines(nil, "", "", x, 0)
}

func appendLines(out []string, indent, before string, x lua.LValue, depth int) []string {
	if s, ok := x.(lua.LString); ok && strings.Contains(string(s), "\n") && depth == 0 {
		for l := range strings.Lines(string(s)) {
			out = append(out, quote(l))
		}
		return out
	}
	one := literal(x)
	t, ok := x.(*lua.LTable)
	if !ok || len(one)+len(before)+len(indent) <= lineWidth || depth == maxLiteralDepth {
		return append(out, indent+before+one)
	}
	out = append(out, indent+before+"{")
	n := listLen(t)
	for i := 1; i <= n; i++ {
		out = appendLines(out, indent+"  ", "["+strconv.Itoa(i)+"] = ", t.RawGetInt(i), depth+1)
	}
	for _, k := range otherKeys(t, n) {
		out = appendLines(out, indent+"  ", keyLiteral(k)+" = ", t.RawGet(k), depth+1)
	}
	return append(out, indent+"}")
}
