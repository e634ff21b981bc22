package lib

import (
	"container/list"
	"fmt"
	"strings"
	"sync"
)

// Limits of what re returns.
const (
	// MaxFound is how many groups FindAll returns in all, and how many pieces Split: as many as a
	// list has items.
	MaxFound = MaxJSONItems
	// MaxReplaced is the longest text that Replace makes, in bytes.
	MaxReplaced = 8 << 20
)

// maxPatternMemory bounds the programs that Patterns keeps, in bytes; a common one has 4 KiB.
const maxPatternMemory = 8 << 20

// Patterns runs RE2 expressions (the syntax and the results of Go's regexp, leftmost-first) and
// keeps the programs used last. All worlds share it; safe for concurrent use.
//
// Every call takes charge, which gets the work done in instructions of the script's budget while it
// is done, at most some hundred late, and may panic to stop the script; nil charges nobody. The
// work is steps of the machine: for one search at most the bytes read times the size of the program
// (TestPatternCost has numbers). A search for the next match may read to the end and give up, so
// finding all is quadratic for some patterns; the steps are charged as they come.
//
// A pattern has at most 1 KiB, 32 groups and 2 000 instructions. A text is bytes: what is not UTF-8
// matches as U+FFFD, one byte wide. Results share the memory of s.
type Patterns struct {
	mu sync.Mutex
	// Guarded by mu:
	known  map[string]*list.Element // of *pattern
	recent list.List                // the one used last in front
	memory int                      // of all patterns known, in bytes
}

// NewPatterns returns an empty cache.
func NewPatterns() *Patterns {
	return &Patterns{known: make(map[string]*list.Element)}
}

// Group is what one group of a pattern matched.
type Group struct {
	Name string // "" if the group has none
	Text string
	Set  bool // false if the match left the group out; Text is "" then
}

// Match finds the leftmost match of pattern in s. groups[0] is the whole match, the pattern's
// groups follow; nil and false if there is none. The error is the pattern's.
func (ps *Patterns) Match(pattern, s string, charge func(int)) (groups []Group, ok bool, err error) {
	err = ps.each(pattern, s, 1, charge, func(m *machine) error {
		groups = m.groups()
		return nil
	})
	return groups, groups != nil, err
}

// FindAll finds the matches of pattern in s that do not overlap, the first limit of them if limit
// is above 0. An empty match right after another match does not count. Each match is as Match has
// it. More than MaxFound groups in all are an error.
func (ps *Patterns) FindAll(pattern, s string, limit int, charge func(int)) (matches [][]Group, err error) {
	total := 0
	err = ps.each(pattern, s, limit, charge, func(m *machine) error {
		if total += len(m.match) / 2; total > MaxFound {
			return fmt.Errorf("re: more than %d groups found; give a limit", MaxFound)
		}
		matches = append(matches, m.groups())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return matches, nil
}

// Split cuts s at the matches of pattern, into limit pieces at most if limit is above 0, as
// regexp.Split does. More than MaxFound pieces are an error.
func (ps *Patterns) Split(pattern, s string, limit int, charge func(int)) ([]string, error) {
	var pieces []string
	beg, end := 0, 0
	cuts := 0 // as many as there are matches
	if limit > 0 {
		cuts = limit
	}
	err := ps.each(pattern, s, cuts, charge, func(m *machine) error {
		if limit > 0 && len(pieces) == limit-1 || s == "" && pattern != "" {
			return nil
		}
		if len(pieces) == MaxFound-1 {
			return fmt.Errorf("re: more than %d pieces; give a limit", MaxFound)
		}
		end = m.match[0]
		if m.match[1] != 0 { // an empty match at the beginning cuts nothing
			pieces = append(pieces, s[beg:end])
			m.meter.add(costScalar)
		}
		beg = m.match[1]
		return nil
	})
	if err != nil {
		return nil, err
	}
	if end != len(s) || s == "" && pattern != "" {
		pieces = append(pieces, s[beg:])
	}
	return pieces, nil
}

// Replace puts template in the place of every match and says how many there were. In a template $1
// or ${1} is a group, $name or ${name} one with a name, $0 the whole match, $$ a dollar sign; one
// that the match left out is empty. Stricter than Go: a name runs as far as letters, digits and _
// go, and one that the pattern does not have, or a $ before anything else, is an error. So is a
// result longer than MaxReplaced.
func (ps *Patterns) Replace(pattern, s, template string, charge func(int)) (text string, n int, err error) {
	var b strings.Builder
	var parts []part
	last := 0
	err = ps.each(pattern, s, 0, charge, func(m *machine) error {
		if parts == nil {
			if parts, err = m.p.template(template); err != nil {
				return err
			}
		}
		m.meter.addBytes(m.match[1] - last)
		b.WriteString(s[last:m.match[0]])
		last = m.match[1]
		n++
		return m.expand(&b, parts)
	})
	if err == nil && n == 0 {
		err = ps.checkTemplate(pattern, template)
	}
	if err == nil && b.Len()+len(s)-last > MaxReplaced {
		err = errReplaced
	}
	if err != nil {
		return "", 0, err
	}
	if n == 0 {
		return s, 0, nil
	}
	b.WriteString(s[last:])
	return b.String(), n, nil
}

var errReplaced = fmt.Errorf("re: the result is longer than %d bytes", MaxReplaced)

// each calls found for the matches of pattern in s, limit of them at most if limit is above 0. m
// has the match, valid until found returns.
func (ps *Patterns) each(text, s string, limit int, charge func(int), found func(m *machine) error) error {
	meter := meter{charge: charge}
	p, err := ps.pattern(text, &meter)
	if err != nil {
		meter.flush()
		return err
	}
	m := p.machine(s, meter)
	err = m.each(limit, found)
	m.meter.flush()
	p.put(m)
	return err
}

// pattern returns the program of text, a new one if it is not known.
func (ps *Patterns) pattern(text string, meter *meter) (*pattern, error) {
	meter.add(costTable) // the search in the cache
	if p := ps.lookUp(text); p != nil {
		return p, nil
	}
	p, err := compile(text, meter)
	if err != nil {
		return nil, err
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if _, ok := ps.known[text]; ok { // another world was faster
		return p, nil
	}
	ps.known[p.text] = ps.recent.PushFront(p)
	ps.memory += p.memory
	for ps.memory > maxPatternMemory {
		oldest := ps.recent.Remove(ps.recent.Back()).(*pattern)
		delete(ps.known, oldest.text)
		ps.memory -= oldest.memory
	}
	return p, nil
}

func (ps *Patterns) lookUp(text string) *pattern {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	e := ps.known[text]
	if e == nil {
		return nil
	}
	ps.recent.MoveToFront(e)
	return e.Value.(*pattern)
}

// checkTemplate finds the errors of a template that was not needed.
func (ps *Patterns) checkTemplate(pattern, template string) error {
	p, err := ps.pattern(pattern, &meter{})
	if err != nil {
		return err
	}
	_, err = p.template(template)
	return err
}
