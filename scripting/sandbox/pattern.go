package sandbox

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// The matcher is lstrlib.c of Lua 5.1.5, with three bounds: its steps are charged (backtracking over a
// 100-byte payload can take seconds), its recursion is counted (as Lua 5.2 does), and patterns are byte
// strings that may hold zeros.

const (
	maxCaptures   = 32  // LUA_MAXCAPTURES
	maxRecursion  = 200 // MAXCCALLS of Lua 5.2's lstrlib.c
	chargeSteps   = 512 // steps between charges
	capUnfinished = -1
	capPosition   = -2
)

type capture struct{ start, len int }

// A matcher matches one pattern against one string. Positions are offsets; -1 is "no match".
type matcher struct {
	L       *lua.LState // nil in tests: not charged
	s, p    string
	steps   int
	depth   int
	level   int
	capture [maxCaptures]capture
}

// patternError is raised by panic where there is no Lua state, in tests.
type patternError string

func (m *matcher) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if m.L == nil {
		panic(patternError(text))
	}
	m.L.RaiseError("%s", text)
}

// step counts the work of one character.
func (m *matcher) step() {
	if m.steps++; m.steps >= chargeSteps {
		m.flush()
	}
}

// flush charges the steps counted so far.
func (m *matcher) flush() {
	n := m.steps / stepsPerInstruction
	m.steps -= n * stepsPerInstruction
	if m.L != nil && n > 0 {
		Charge(m.L, int64(n))
	}
}

// classEnd is the offset behind the single-character class that begins at p.
func (m *matcher) classEnd(p int) int {
	c := m.p[p]
	p++
	switch c {
	case '%':
		if p >= len(m.p) {
			m.fail("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.p) && m.p[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.p) || m.p[p] != ']'; first = false {
			if p >= len(m.p) {
				m.fail("malformed pattern (missing ']')")
			}
			m.step()
			p++
			if m.p[p-1] == '%' {
				p++ // an escaped character, which may be ']'
			}
		}
		return p + 1
	}
	return p
}

// classes has a bit for each class letter, by character: isalpha and so on of the C locale.
var classes = func() (t [256]uint16) {
	for c := range 256 {
		lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
		alnum := lower || upper || digit
		set := func(bit uint16, on bool) {
			if on {
				t[c] |= bit
			}
		}
		set(classAlpha, lower || upper)
		set(classControl, c < 32 || c == 127)
		set(classDigit, digit)
		set(classLower, lower)
		set(classPunct, c > 32 && c < 127 && !alnum)
		set(classSpace, c == ' ' || c >= '\t' && c <= '\r')
		set(classUpper, upper)
		set(classAlnum, alnum)
		set(classHex, digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
		set(classZero, c == 0)
	}
	return t
}()

const (
	classAlpha uint16 = 1 << iota
	classControl
	classDigit
	classLower
	classPunct
	classSpace
	classUpper
	classAlnum
	classHex
	classZero
)

var classBits = [256]uint16{
	'a': classAlpha, 'c': classControl, 'd': classDigit, 'l': classLower, 'p': classPunct,
	's': classSpace, 'u': classUpper, 'w': classAlnum, 'x': classHex, 'z': classZero,
}

// inClass says whether c is in the class that %cl stands for; a letter that is none stands for itself.
func inClass(c, cl byte) bool {
	lower := cl | 0x20
	bits := classBits[lower]
	if bits == 0 || cl < 'A' || cl > 'z' {
		return c == cl
	}
	return (classes[c]&bits != 0) == (cl == lower)
}

// inSet says whether c is in the set p[from:to], from at '[' and to at ']'.
func (m *matcher) inSet(c byte, from, to int) bool {
	p := from + 1
	in := true
	if m.p[p] == '^' {
		in = false
		p++
	}
	for ; p < to; p++ {
		m.step()
		switch {
		case m.p[p] == '%':
			p++
			if inClass(c, m.p[p]) {
				return in
			}
		case p+2 < to && m.p[p+1] == '-':
			if m.p[p] <= c && c <= m.p[p+2] {
				return in
			}
			p += 2
		case m.p[p] == c:
			return in
		}
	}
	return !in
}

// single says whether the character at s, which must be there, is in the class p[p:ep].
func (m *matcher) single(s, p, ep int) bool {
	c := m.s[s]
	switch m.p[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.p[p+1])
	case '[':
		return m.inSet(c, p, ep-1)
	}
	return m.p[p] == c
}

// match matches p from offset p on at offset s and returns the end of the match.
func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxRecursion {
		m.fail("pattern too complex")
	}
	e := m.run(s, p)
	m.depth--
	return e
}

func (m *matcher) run(s, p int) int {
	for p < len(m.p) {
		m.step()
		switch c := m.p[p]; {
		case c == '(':
			if p+1 < len(m.p) && m.p[p+1] == ')' {
				return m.startCapture(s, p+2, capPosition)
			}
			return m.startCapture(s, p+1, capUnfinished)
		case c == ')':
			return m.endCapture(s, p+1)
		case c == '$' && p+1 == len(m.p):
			if s == len(m.s) {
				return s
			}
			return -1
		case c == '%' && p+1 < len(m.p) && m.p[p+1] == 'b':
			if s = m.balance(s, p+2); s < 0 {
				return -1
			}
			p += 4
			continue
		case c == '%' && p+1 < len(m.p) && m.p[p+1] == 'f':
			p += 2
			ep := m.frontier(p)
			if m.inSet(m.at(s-1), p, ep-1) || !m.inSet(m.at(s), p, ep-1) {
				return -1
			}
			p = ep
			continue
		case c == '%' && p+1 < len(m.p) && m.p[p+1] >= '0' && m.p[p+1] <= '9':
			if s = m.backReference(s, m.p[p+1]); s < 0 {
				return -1
			}
			p += 2
			continue
		}
		ep := m.classEnd(p)
		if ep > len(m.p) {
			m.fail("malformed pattern (missing ']')")
		}
		suffix := byte(0)
		if ep < len(m.p) {
			suffix = m.p[ep]
		}
		switch suffix {
		case '*':
			return m.maxExpand(s, p, ep)
		case '+':
			if s >= len(m.s) || !m.single(s, p, ep) {
				return -1
			}
			return m.maxExpand(s+1, p, ep)
		case '-':
			return m.minExpand(s, p, ep)
		case '?':
			if s < len(m.s) && m.single(s, p, ep) {
				if e := m.match(s+1, ep+1); e >= 0 {
					return e
				}
			}
			p = ep + 1
		default:
			if s >= len(m.s) || !m.single(s, p, ep) {
				return -1
			}
			s++
			p = ep
		}
	}
	return s
}

// at is the character at offset s, zero outside of the string, as C's terminator.
func (m *matcher) at(s int) byte {
	if s < 0 || s >= len(m.s) {
		return 0
	}
	return m.s[s]
}

func (m *matcher) frontier(p int) int {
	if p >= len(m.p) || m.p[p] != '[' {
		m.fail("missing '[' after '%%f' in pattern")
	}
	ep := m.classEnd(p)
	if ep > len(m.p) {
		m.fail("malformed pattern (missing ']')")
	}
	return ep
}

func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.p) {
		m.fail("unbalanced pattern")
	}
	if s >= len(m.s) || m.s[s] != m.p[p] {
		return -1
	}
	open, shut := m.p[p], m.p[p+1]
	depth := 1
	for s++; s < len(m.s); s++ {
		m.step()
		switch c := m.s[s]; c {
		case shut:
			if depth--; depth == 0 {
				return s + 1
			}
		case open:
			depth++
		}
	}
	return -1
}

func (m *matcher) maxExpand(s, p, ep int) int {
	n := 0
	for s+n < len(m.s) && m.single(s+n, p, ep) {
		m.step()
		n++
	}
	if ep+1 == len(m.p) {
		return s + n // nothing follows that could ask for less
	}
	for ; n >= 0; n-- {
		m.step()
		if e := m.match(s+n, ep+1); e >= 0 {
			return e
		}
	}
	return -1
}

func (m *matcher) minExpand(s, p, ep int) int {
	for {
		m.step()
		if e := m.match(s, ep+1); e >= 0 {
			return e
		}
		if s >= len(m.s) || !m.single(s, p, ep) {
			return -1
		}
		s++
	}
}

func (m *matcher) startCapture(s, p, what int) int {
	if m.level >= maxCaptures {
		m.fail("too many captures")
	}
	m.capture[m.level] = capture{s, what}
	m.level++
	e := m.match(s, p)
	if e < 0 {
		m.level--
	}
	return e
}

func (m *matcher) endCapture(s, p int) int {
	l := m.level - 1
	for l >= 0 && m.capture[l].len != capUnfinished {
		l--
	}
	if l < 0 {
		m.fail("invalid pattern capture")
	}
	m.capture[l].len = s - m.capture[l].start
	e := m.match(s, p)
	if e < 0 {
		m.capture[l].len = capUnfinished
	}
	return e
}

func (m *matcher) backReference(s int, digit byte) int {
	l := int(digit) - '1'
	if l < 0 || l >= m.level || m.capture[l].len == capUnfinished {
		m.fail("invalid capture index")
	}
	if m.capture[l].len == capPosition {
		return s
	}
	text := m.s[m.capture[l].start : m.capture[l].start+m.capture[l].len]
	m.steps += len(text)
	if m.steps >= chargeSteps {
		m.flush()
	}
	if len(m.s)-s < len(text) || m.s[s:s+len(text)] != text {
		return -1
	}
	return s + len(text)
}

// find looks for the pattern from offset init on and returns where the match begins and ends.
func (m *matcher) find(init int) (int, int) {
	p, anchored := 0, false
	if m.p != "" && m.p[0] == '^' {
		p, anchored = 1, true
	}
	for s := init; ; s++ {
		m.level = 0
		if e := m.match(s, p); e >= 0 {
			return s, e
		}
		if anchored || s >= len(m.s) {
			return -1, -1
		}
	}
}

// value is capture i of the match s[from:to] as a Lua value; without captures, capture 0 is the match.
func (m *matcher) value(i, from, to int) lua.LValue {
	if i >= m.level {
		if i != 0 {
			m.fail("invalid capture index")
		}
		return cut(m.L, m.s, from, to)
	}
	c := m.capture[i]
	switch c.len {
	case capPosition:
		return lua.LNumber(c.start + 1)
	case capUnfinished:
		m.fail("unfinished capture")
	}
	return cut(m.L, m.s, c.start, c.start+c.len)
}
