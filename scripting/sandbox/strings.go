package sandbox

import (
	"math"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// The string library of Lua 5.1 without dump. What it builds is bounded and charged (CheckLength).
var stringFuncs = map[string]lua.LGFunction{
	"byte":    strByte,
	"char":    strChar,
	"find":    func(L *lua.LState) int { return strFind(L, true) },
	"format":  strFormat,
	"gmatch":  strGmatch,
	"gsub":    strGsub,
	"len":     strLen,
	"lower":   func(L *lua.LState) int { return strMap(L, asciiLower) },
	"match":   func(L *lua.LState) int { return strFind(L, false) },
	"rep":     strRep,
	"reverse": strReverse,
	"sub":     strSub,
	"upper":   func(L *lua.LState) int { return strMap(L, asciiUpper) },
}

// stringOf is b as a string without a copy; b must not be changed afterwards.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// checkText is argument n as a string; numbers are written the way Lua does.
func checkText(L *lua.LState, n int) string {
	s, ok := textOf(L.Get(n))
	if !ok {
		L.TypeError(n, lua.LTString)
	}
	return s
}

// checkInt is argument n as an integer; strings that are numbers count, as in Lua.
func checkInt(L *lua.LState, n int) int {
	v, ok := toNumber(L.Get(n))
	if !ok {
		L.TypeError(n, lua.LTNumber)
	}
	return clampInt(float64(v))
}

// clampInt cuts the fraction off and holds what is beyond 32 bits there, which is further than any
// string or list reaches, so that sums cannot overflow.
func clampInt(f float64) int {
	switch {
	case f >= math.MaxInt32:
		return math.MaxInt32
	case f <= math.MinInt32:
		return math.MinInt32
	case f != f:
		return 0
	}
	return int(f)
}

func optInt(L *lua.LState, n, def int) int {
	if L.Get(n) == lua.LNil {
		return def
	}
	return checkInt(L, n)
}

// posRelative is lstrlib.c's posrelat: negative positions count from the end.
func posRelative(pos, length int) int {
	if pos < 0 {
		pos += length + 1
	}
	return max(pos, 0)
}

// cut is s[from:to]. Go's substrings keep the whole string in memory: a short piece of a long string is
// copied, so that four bytes of each payload do not keep the payloads.
func cut(L *lua.LState, s string, from, to int) lua.LValue {
	piece := s[from:to]
	if n := len(piece); n*4 < len(s) && len(s) > 256 {
		if L != nil && n >= builtPerInstruction {
			Charge(L, int64(n/builtPerInstruction))
		}
		piece = strings.Clone(piece)
	}
	return lua.LString(piece)
}

func strByte(L *lua.LState) int {
	s := checkText(L, 1)
	from := posRelative(optInt(L, 2, 1), len(s))
	to := posRelative(optInt(L, 3, from), len(s))
	from, to = max(from, 1), min(to, len(s))
	if from > to {
		return 0
	}
	n := to - from + 1
	if n > maxUnpack {
		L.RaiseError("string slice too long (%d values at most)", maxUnpack)
	}
	Charge(L, int64(n/slotsPerInstruction))
	for i := from; i <= to; i++ {
		L.Push(lua.LNumber(s[i-1]))
	}
	return n
}

func strChar(L *lua.LState) int {
	n := L.GetTop()
	CheckLength(L, n)
	b := make([]byte, n)
	for i := range b {
		c := checkInt(L, i+1)
		if c < 0 || c > 255 {
			argError(L, i+1, "invalid value")
		}
		b[i] = byte(c)
	}
	L.Push(lua.LString(stringOf(b)))
	return 1
}

func strLen(L *lua.LState) int {
	L.Push(lua.LNumber(len(checkText(L, 1))))
	return 1
}

func asciiLower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 32
	}
	return c
}

func asciiUpper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 32
	}
	return c
}

// strMap maps bytes: lower and upper are those of the C locale, a byte stays a byte.
func strMap(L *lua.LState, f func(byte) byte) int {
	s := checkText(L, 1)
	CheckLength(L, len(s))
	b := make([]byte, len(s))
	mapText(L, b, func(i int) byte { return f(s[i]) })
	L.Push(lua.LString(stringOf(b)))
	return 1
}

func strReverse(L *lua.LState) int {
	s := checkText(L, 1)
	CheckLength(L, len(s))
	b := make([]byte, len(s))
	mapText(L, b, func(i int) byte { return s[len(s)-1-i] })
	L.Push(lua.LString(stringOf(b)))
	return 1
}

func strRep(L *lua.LState) int {
	s, n := checkText(L, 1), max(checkInt(L, 2), 0)
	if len(s) == 0 {
		n = 0
	}
	CheckLength(L, len(s)*n) // at most 2^31 times a string in memory
	L.Push(lua.LString(repeat(L, s, n)))
	return 1
}

func strSub(L *lua.LState) int {
	s := checkText(L, 1)
	from := max(posRelative(checkInt(L, 2), len(s)), 1)
	to := min(posRelative(optInt(L, 3, -1), len(s)), len(s))
	if from > to {
		L.Push(lua.LString(""))
		return 1
	}
	L.Push(cut(L, s, from-1, to))
	return 1
}

const specials = "^$*+?.([%-"

// strFind is find and match.
func strFind(L *lua.LState, positions bool) int {
	s, p := checkText(L, 1), checkText(L, 2)
	init := min(max(posRelative(optInt(L, 3, 1), len(s))-1, 0), len(s))
	if positions && (lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(p, specials)) {
		return findPlain(L, s, p, init)
	}
	m := matcher{L: L, s: s, p: p}
	from, to := m.find(init)
	m.flush()
	if from < 0 {
		L.Push(lua.LNil)
		return 1
	}
	if !positions {
		return m.push(from, to, true)
	}
	L.Push(lua.LNumber(from + 1))
	L.Push(lua.LNumber(to))
	return 2 + m.push(from, to, false)
}

func findPlain(L *lua.LState, s, p string, init int) int {
	if n := len(s) - init; n >= 1024 {
		Charge(L, int64(n/bytesPerInstruction)) // strings.Index is linear
	}
	i := strings.Index(s[init:], p)
	if i < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(init + i + 1))
	L.Push(lua.LNumber(init + i + len(p)))
	return 2
}

// push pushes the captures, or the whole match where there are none and whole is set.
func (m *matcher) push(from, to int, whole bool) int {
	n := m.level
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.L.Push(m.value(i, from, to))
	}
	return n
}

func strGmatch(L *lua.LState) int {
	s, p := checkText(L, 1), checkText(L, 2)
	at := 0
	L.Push(L.NewFunction(func(L *lua.LState) int {
		m := matcher{L: L, s: s, p: p}
		for ; at <= len(s); at++ {
			m.level = 0
			e := m.match(at, 0)
			if e < 0 {
				continue
			}
			m.flush()
			from := at
			at = e
			if e == from {
				at++ // an empty match: go on behind it
			}
			return m.push(from, e, true)
		}
		m.flush()
		return 0
	}))
	return 1
}

func strGsub(L *lua.LState) int {
	s, p := checkText(L, 1), checkText(L, 2)
	repl := L.Get(3)
	switch repl.Type() {
	case lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction:
	default:
		argError(L, 3, "string/function/table expected")
	}
	limit := optInt(L, 4, len(s)+1)
	anchor := 0
	if p != "" && p[0] == '^' {
		anchor = 1
	}
	g := gsub{matcher: matcher{L: L, s: s, p: p}, repl: repl}
	at, n := 0, 0
	for n < limit {
		g.level = 0
		e := g.match(at, anchor)
		if e >= 0 {
			n++
			g.replace(at, e)
		}
		switch {
		case e > at:
			at = e
		case at < len(s):
			g.add(s[at : at+1])
			at++
		default:
			at++ // past the end
		}
		if at > len(s) || anchor == 1 {
			break
		}
	}
	g.flush()
	if n == 0 {
		L.Push(lua.LString(s))
	} else {
		if at < len(s) {
			g.add(s[at:])
		}
		g.charge()
		L.Push(lua.LString(stringOf(g.out)))
	}
	L.Push(lua.LNumber(n))
	return 2
}

// gsub builds the result of one string.gsub.
type gsub struct {
	matcher
	repl    lua.LValue
	out     []byte
	charged int // bytes of out that have been paid
}

func (g *gsub) add(s string) {
	g.out = appendText(g.L, g.out, s)
	if len(g.out)-g.charged >= 4096 {
		g.charge()
	}
}

// charge pays for what out has grown by, and checks its length.
func (g *gsub) charge() {
	g.charged = payGrowth(g.L, len(g.out), g.charged)
}

// replace appends what stands for the match s[from:to].
func (g *gsub) replace(from, to int) {
	var v lua.LValue
	switch r := g.repl.(type) {
	case *lua.LTable:
		v = g.L.GetTable(r, g.value(0, from, to))
	case *lua.LFunction:
		g.L.Push(r)
		n := g.push(from, to, true)
		callLua(g.L, n, 1)
		v = g.L.Get(-1)
		g.L.Pop(1)
	default:
		text, _ := textOf(r)
		g.template(text, from, to)
		return
	}
	if lua.LVIsFalse(v) {
		g.add(g.s[from:to])
		return
	}
	text, ok := textOf(v)
	if !ok {
		g.L.RaiseError("invalid replacement value (a %s)", v.Type().String())
	}
	g.add(text)
}

// template appends a replacement string: %0 to %9 are captures, %x is x. Each is a step, since empty
// captures add nothing to out.
func (g *gsub) template(t string, from, to int) {
	for {
		g.step()
		i := strings.IndexByte(t, '%')
		if i < 0 {
			g.add(t)
			return
		}
		g.add(t[:i])
		if i+1 == len(t) {
			return // as Lua 5.1: the terminating zero follows
		}
		switch c := t[i+1]; {
		case c == '0':
			g.add(g.s[from:to])
		case c >= '1' && c <= '9':
			text, _ := textOf(g.value(int(c-'1'), from, to))
			g.add(text)
		default:
			g.add(t[i+1 : i+2])
		}
		t = t[i+2:]
	}
}
