package lib

import (
	"math/bits"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// noRune stands before the first and after the last rune, as in syntax.EmptyOpContext.
const noRune = -1

// machine runs a program of regexp/syntax over a text: Pike's virtual machine as in package regexp
// (swtch.com/~rsc/regexp/regexp2.html), which follows all threads at once and never goes back. It
// takes the place of that package because regexp cannot be stopped, does not say how much it did,
// and does all of FindAll, which is quadratic for (?:.*b)|a on a text of a's, in one call: 0.6 s for
// 10 KiB. Where regexp has a machine for one thread (^devices/([^/]+)/(.*)$) this one takes four
// times as long, 1 µs for a topic (BenchmarkPatternMatch).
type machine struct {
	p        *pattern
	s        string
	meter    meter
	run, add queue // threads at this rune, at the next one
	context  syntax.EmptyOp
	matched  bool
	match    []int // offsets of the match and its groups, -1 for those left out
	start    []int // the groups of a thread that begins
	steps    int   // not yet charged
}

// queue is a sparse set of instructions, in order of priority, with what their threads captured.
type queue struct {
	sparse []uint32
	dense  []uint32
	groups []int // those of the thread at dense[i] begin at i times their number
}

// stepsPerCost is how many steps cost an instruction of the script's budget. A step takes some
// 4 ns (BenchmarkPatternWorst), an instruction of the interpreter some 20 ns.
const stepsPerCost = 4

// stepBatch is after how many steps they are charged.
const stepBatch = 512

func (p *pattern) machine(s string, meter meter) *machine {
	m, _ := p.machines.Get().(*machine)
	if m == nil {
		insts, groups := len(p.prog.Inst), 2*len(p.names)
		m = &machine{p: p, match: make([]int, groups), start: make([]int, groups)}
		for i := range m.start {
			m.start[i] = -1
		}
		for _, q := range []*queue{&m.run, &m.add} {
			*q = queue{make([]uint32, insts), make([]uint32, 0, insts), make([]int, insts*groups)}
		}
	}
	m.s, m.meter, m.steps = s, meter, 0
	return m
}

// put keeps m for the next search. One whose search panicked is not put back.
func (p *pattern) put(m *machine) {
	m.s, m.meter = "", meter{}
	p.machines.Put(m)
}

// each finds match after match, as regexp's allMatches does.
func (m *machine) each(limit int, found func(m *machine) error) error {
	previous := -1 // where the last match ended
	for n, pos := 0, 0; pos <= len(m.s) && (limit <= 0 || n < limit); {
		ok := m.find(pos)
		m.charge()
		if !ok {
			return nil
		}
		beg, end := m.match[0], m.match[1]
		if beg != end || beg != previous {
			if err := found(m); err != nil {
				return err
			}
			n++
		}
		previous = end
		if end == pos {
			_, width := m.rune(pos)
			end = pos + max(width, 1)
		}
		pos = end
	}
	return nil
}

// find looks for the first match that begins at pos or later.
func (m *machine) find(pos int) bool {
	m.matched = false
	m.run.dense, m.add.dense = m.run.dense[:0], m.add.dense[:0]
	before := m.runeBefore(pos)
	for {
		if len(m.run.dense) == 0 {
			if m.matched || m.p.anchored && pos > 0 {
				break
			}
			skipped := strings.Index(m.s[pos:], m.p.prefix)
			if skipped < 0 {
				m.meter.addBytes(len(m.s) - pos)
				break
			}
			if skipped > 0 {
				m.meter.addBytes(skipped)
				pos += skipped
				before = m.runeBefore(pos)
			}
		}
		r, width := m.rune(pos)
		if !m.matched {
			m.look(before, r)
			m.start[0] = pos
			m.follow(&m.run, uint32(m.p.prog.Start), pos, m.start)
		}
		next, _ := m.rune(pos + width)
		m.look(r, next)
		m.step(r, pos, pos+width)
		if width == 0 {
			break
		}
		if m.steps += 4; m.steps >= stepBatch {
			m.charge()
		}
		before, pos = r, pos+width
		m.run, m.add = m.add, m.run
	}
	return m.matched
}

// look notes which of ^ $ \b and the like hold between two runes.
func (m *machine) look(before, after rune) {
	if m.p.lookout {
		m.context = syntax.EmptyOpContext(before, after)
	}
}

func (m *machine) rune(pos int) (rune, int) {
	switch {
	case pos >= len(m.s):
		return noRune, 0
	case m.s[pos] < utf8.RuneSelf:
		return rune(m.s[pos]), 1
	}
	return utf8.DecodeRuneInString(m.s[pos:])
}

func (m *machine) runeBefore(pos int) rune {
	if pos == 0 {
		return noRune
	}
	r, _ := utf8.DecodeLastRuneInString(m.s[:pos])
	return r
}

// step lets each thread of run read r, which is from pos to next, and empties run.
func (m *machine) step(r rune, pos, next int) {
	n := len(m.match)
	m.steps += len(m.run.dense)
	for i, pc := range m.run.dense {
		inst := &m.p.prog.Inst[pc]
		reads := false
		switch inst.Op {
		case syntax.InstRune1:
			reads = r == inst.Rune[0]
		case syntax.InstRune:
			m.steps += bits.Len(uint(len(inst.Rune) / 8))
			reads = inst.MatchRune(r)
		case syntax.InstRuneAny:
			reads = r != noRune
		case syntax.InstRuneAnyNotNL:
			reads = r != noRune && r != '\n'
		case syntax.InstMatch:
			copy(m.match, m.run.groups[i*n:(i+1)*n])
			m.match[1] = pos
			m.matched = true
			m.run.dense = m.run.dense[:0] // the threads after it have a lower priority
			return
		}
		if reads {
			m.follow(&m.add, inst.Out, next, m.run.groups[i*n:(i+1)*n])
		}
	}
	m.run.dense = m.run.dense[:0]
}

// follow adds the thread at pc to q, with all that it leads to without reading. groups is as it was
// when it returns. The depth is that of the pattern's parentheses and repetitions.
func (m *machine) follow(q *queue, pc uint32, pos int, groups []int) {
	for {
		j := q.sparse[pc]
		if int(j) < len(q.dense) && q.dense[j] == pc {
			return
		}
		j = uint32(len(q.dense))
		q.sparse[pc] = j
		q.dense = append(q.dense, pc)
		m.steps++
		inst := &m.p.prog.Inst[pc]
		switch inst.Op {
		case syntax.InstFail:
			return
		case syntax.InstAlt, syntax.InstAltMatch:
			m.follow(q, inst.Out, pos, groups)
			pc = inst.Arg
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^m.context != 0 {
				return
			}
			pc = inst.Out
		case syntax.InstNop:
			pc = inst.Out
		case syntax.InstCapture:
			old := groups[inst.Arg]
			groups[inst.Arg] = pos
			m.follow(q, inst.Out, pos, groups)
			groups[inst.Arg] = old
			return
		default:
			copy(q.groups[int(j)*len(groups):], groups)
			m.steps += len(groups) / 8
			return
		}
	}
}

// charge hands on what the steps cost.
func (m *machine) charge() {
	m.meter.add(m.steps / stepsPerCost)
	m.steps %= stepsPerCost
}

// groups returns what was matched.
func (m *machine) groups() []Group {
	groups := make([]Group, len(m.p.names))
	m.meter.add(costTable + len(groups)*costScalar)
	for i, name := range m.p.names {
		groups[i].Name = name
		if beg := m.match[2*i]; beg >= 0 {
			groups[i].Text, groups[i].Set = m.s[beg:m.match[2*i+1]], true
		}
	}
	return groups
}

// expand writes a template for the match, unless that gets too long.
func (m *machine) expand(b *strings.Builder, parts []part) error {
	m.meter.add(costScalar * (1 + len(parts)))
	for _, p := range parts {
		text := p.text
		if text == "" && m.match[2*p.group] >= 0 {
			text = m.s[m.match[2*p.group]:m.match[2*p.group+1]]
		}
		m.meter.addBytes(len(text))
		if b.Len()+len(text) > MaxReplaced {
			return errReplaced
		}
		b.WriteString(text)
	}
	return nil
}
