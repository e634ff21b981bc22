package lib

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Limits of a pattern. Parsing takes time by the length, a search by the length of the text times
// the size of the program, so both are small.
const (
	maxPattern     = 1024    // bytes
	maxProgram     = 2000    // instructions of regexp/syntax; [\w.-]{1,255}@[\w.-]{1,255} has 1 021
	maxGroups      = 32      // LUA_MAXCAPTURES of Lua 5.1
	maxClassRanges = 1 << 15 // in all character classes; \pL has 659
)

// pattern is a compiled expression. Immutable, but for the pool.
type pattern struct {
	text     string
	prog     *syntax.Prog
	names    []string // of the groups; names[0] is ""
	prefix   string   // every match begins with it
	anchored bool     // a match begins at the beginning of the text only
	lookout  bool     // there are ^ $ \b and the like
	memory   int      // bytes, with one machine

	machines sync.Pool
}

// Costs of a compilation in instructions of the script's budget, of some 20 ns (BenchmarkCompile).
const (
	costPatternByte = 32
	costProgramStep = 8
	costCategory    = 2500    // \pL: a table of 650 ranges is copied and may be sorted
	costWideFold    = 120_000 // (?i)[B-\x{1e942}]: regexp/syntax folds rune by rune, 1.7 ms
)

// parseCost is what syntax.Parse costs at most.
func parseCost(text string) int {
	cost := costPatternByte * len(text)
	cost += costCategory * (strings.Count(text, `\p`) + strings.Count(text, `\P`))
	if !hasFold(text) {
		return cost
	}
	for i := range len(text) - 1 {
		if text[i] == '-' && (text[i+1] >= utf8.RuneSelf || text[i+1] == '\\') {
			cost += costWideFold
		}
	}
	return cost
}

// hasFold says whether there may be a (?i).
func hasFold(text string) bool {
	for _, s := range strings.Split(text, "(?")[1:] {
		flags := len(s) - len(strings.TrimLeft(s, "imsU-"))
		if strings.Contains(s[:flags], "i") {
			return true
		}
	}
	return false
}

// compile parses text and makes its program. The size is known before anything is as large as that.
func compile(text string, meter *meter) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("re: a pattern of %d bytes, at most %d are read", len(text), maxPattern)
	}
	meter.add(parseCost(text))
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, patternError(err)
	}
	if n := tree.MaxCap(); n > maxGroups {
		return nil, fmt.Errorf("re: a pattern with %d groups, at most %d are allowed; (?:…) is not counted", n, maxGroups)
	}
	size, ranges := programSize(tree)
	if size > maxProgram || ranges > maxClassRanges {
		return nil, fmt.Errorf("re: the pattern %q becomes too large; use smaller counts in {}", clip(text, maxKeyShown))
	}
	meter.add(costProgramStep * (size + ranges))
	names := tree.CapNames()
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, patternError(err)
	}
	return newPattern(strings.Clone(text), prog, names, ranges), nil
}

func newPattern(text string, prog *syntax.Prog, names []string, ranges int) *pattern {
	p := &pattern{text: text, prog: prog, names: names}
	p.prefix, _ = prog.Prefix()
	p.anchored = prog.StartCond()&syntax.EmptyBeginText != 0
	p.lookout = slices.ContainsFunc(prog.Inst, func(i syntax.Inst) bool { return i.Op == syntax.InstEmptyWidth })
	const (
		perPattern = 1024
		perInst    = 40 + 2*8 // syntax.Inst, its places in two queues
		perCapture = 2 * 8    // in two queues
		perRange   = 2 * 4
	)
	p.memory = perPattern + 2*len(text) + len(prog.Inst)*(perInst+perCapture*2*len(names)) + ranges*perRange
	return p
}

func patternError(err error) error {
	var e *syntax.Error
	if errors.As(err, &e) {
		return fmt.Errorf("re: %s: %q", e.Code, clip(e.Expr, maxKeyShown))
	}
	return fmt.Errorf("re: %w", err)
}

// programSize is at least the number of instructions that tree is compiled to, and the number of
// ranges in its classes. regexp/syntax itself lets programs of 3 million instructions through.
func programSize(tree *syntax.Regexp) (size, ranges int) {
	const beyond = 1 << 20 // stands for all that are larger; far from an overflow below
	ranges = len(tree.Rune) / 2
	for _, sub := range tree.Sub {
		s, r := programSize(sub)
		size, ranges = min(size+s, beyond), ranges+r
	}
	switch tree.Op {
	case syntax.OpLiteral:
		size, ranges = len(tree.Rune), 0
	case syntax.OpRepeat: // x{2,5} is compiled as xx(x(x(x)?)?)?, x{2,} as xx+
		copies := max(tree.Min, tree.Max, 1)
		size = copies*(size+1) + 2
	default:
		size += 2 + len(tree.Sub)
	}
	return min(size, beyond), ranges
}

// part is a piece of a template: text, or a group if text is "".
type part struct {
	text  string
	group int
}

// template cuts a template for Replace into parts; never nil without an error.
func (p *pattern) template(s string) ([]part, error) {
	parts := []part{}
	for s != "" {
		text, rest, found := strings.Cut(s, "$")
		if found && strings.HasPrefix(rest, "$") {
			text, rest, found = s[:len(text)+1], rest[1:], false
		}
		if text != "" {
			parts = append(parts, part{text: text})
		}
		s = rest
		if !found {
			continue
		}
		name, rest, ok := groupName(rest)
		if !ok {
			return nil, fmt.Errorf("re: a lone $ before %q in the template; $$ is a dollar sign", clip(rest, maxKeyShown))
		}
		group, ok := p.group(name)
		if !ok {
			return nil, fmt.Errorf("re: the template has $%s, the pattern no such group; write ${…} where text follows", clip(name, maxKeyShown))
		}
		parts = append(parts, part{group: group})
		s = rest
	}
	return parts, nil
}

// groupName reads what follows a $: a name of letters, digits and _, perhaps in braces.
func groupName(s string) (name, rest string, ok bool) {
	if strings.HasPrefix(s, "{") {
		name, rest, ok = strings.Cut(s[1:], "}")
		if !ok || name == "" {
			return "", s, false
		}
		return name, rest, true
	}
	rest = strings.TrimLeftFunc(s, func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) })
	n := len(s) - len(rest)
	return s[:n], rest, n > 0
}

func (p *pattern) group(name string) (int, bool) {
	if isDigits(name) && (name[0] != '0' || name == "0") { // 00 is no number to Go either
		n, err := strconv.Atoi(name)
		return n, err == nil && n < len(p.names)
	}
	i := slices.Index(p.names, name)
	return i, i > 0
}
