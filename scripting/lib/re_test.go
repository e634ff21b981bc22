package lib

import (
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"testing"
)

var reTexts = []string{
	"", "a", "b", "ab", "aab", "abab", "aaaa", "foo.bar", "2024-02-29T12:05:09Z", "line one\nline two\n", "é日本\xff\xfez", "\xff", "a\x00b",
	"devices/42/temperature", "key=value; other=\"quoted text\"", "The quick brown fox", "xx--yy--", "K\u212ak ſsS", "  padded  ", "ACME-0042/ab:cd:ef",
}

var rePatterns = []string{
	``, `a`, `ab`, `a*`, `a+?`, `a|ab`, `ab|a`, `(a|ab)(c|bcd)?`, `(a*)*`, `(a*)+`, `(a|b)*?b`, `(?:)`, `x*`, `$`, `^`, `\z`, `(?m)^`, `(?m)$`, `(?m)^line (\w+)$`, `\b`, `\B`, `\b\w`, `\bfox\b`,
	`.`, `(?s).`, `(?s).*`, `[^a]`, `[[:^alpha:]]`, `\pL+`, `(?i)k`, `(?i)S+`, `\d{4}-\d{2}-\d{2}`, `(?P<year>\d+)-(?P<month>\d+)`, `^devices/([^/]+)/(.*)$`, `(\w+)=("[^"]*"|\w+)`,
	`(?U)a+`, `a{2,3}`, `a{0}`, `(a{0,2}){2}`, `()`, `(|a)+`, `(|a)*`, `(?:(a)|b)*`, `(?:.*b)|a`, `--`, `-+`, `\s+`, "\uFFFD", `[\x00-\x1f]`, `z$`, `^a|b`, `(^a)|(b$)`, `日`, `\x{65e5}.`, `[a-c]+|[x-z]+`, `foo|fox`, `\Aa\z`, `(?i)the\b`, `(a)(b)?(c)?`,
}

func newCharge() (func(int), *int) {
	total := new(int)
	return func(n int) { *total += n }, total
}

// Everything gives what package regexp gives.
func checkAgainstRegexp(t *testing.T, ps *Patterns, pattern, s string) {
	t.Helper()
	std := regexp.MustCompile(pattern)
	want := std.FindAllStringSubmatchIndex(s, -1)
	got, err := ps.FindAll(pattern, s, 0, nil)
	if err != nil || len(got) != len(want) {
		t.Fatalf("FindAll(%q, %q) has %d matches, %v; want %d", pattern, s, len(got), err, len(want))
	}
	for i := range want {
		checkGroups(t, pattern, s, std.SubexpNames(), got[i], want[i])
	}
	first, ok, err := ps.Match(pattern, s, nil)
	if at := std.FindStringSubmatchIndex(s); err != nil || ok != (at != nil) {
		t.Fatalf("Match(%q, %q) = %v, %v, %v; want %v", pattern, s, first, ok, err, at)
	} else if ok {
		checkGroups(t, pattern, s, std.SubexpNames(), first, at)
	}
	for _, limit := range []int{-1, 1, 2, 3} {
		pieces, err := ps.Split(pattern, s, limit, nil)
		if cut := std.Split(s, limit); err != nil || strings.Join(pieces, "\x01|") != strings.Join(cut, "\x01|") || len(pieces) != len(cut) {
			t.Fatalf("Split(%q, %q, %d) = %q, %v; want %q", pattern, s, limit, pieces, err, cut)
		}
	}
	text, n, err := ps.Replace(pattern, s, "<${0}>$$", nil)
	if replaced := std.ReplaceAllString(s, "<${0}>$$"); err != nil || text != replaced || n != len(want) {
		t.Fatalf("Replace(%q, %q) = %q, %d, %v; want %q, %d", pattern, s, text, n, err, replaced, len(want))
	}
}

func checkGroups(t *testing.T, pattern, s string, names []string, got []Group, at []int) {
	t.Helper()
	want := make([]Group, len(at)/2)
	for i := range want {
		want[i].Name = names[i]
		if at[2*i] >= 0 {
			want[i].Text, want[i].Set = s[at[2*i]:at[2*i+1]], true
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q in %q: %v; want %v", pattern, s, got, want)
	}
}

func TestPatternsAgreeWithRegexp(t *testing.T) {
	ps := NewPatterns()
	for _, pattern := range rePatterns {
		for _, s := range reTexts {
			checkAgainstRegexp(t, ps, pattern, s)
		}
	}
}

func TestMatchGroups(t *testing.T) {
	groups, ok, err := NewPatterns().Match(`(?P<id>\d+)(/(\w+))?`, "gw/42", nil)
	want := []Group{{"", "42", true}, {"id", "42", true}, {"", "", false}, {"", "", false}}
	if !reflect.DeepEqual(groups, want) || !ok || err != nil {
		t.Errorf("%v, %v, %v", groups, ok, err)
	}
	if groups, ok, err = NewPatterns().Match(`\d`, "none", nil); groups != nil || ok || err != nil {
		t.Errorf("%v, %v, %v", groups, ok, err)
	}
}

func TestFindAllLimit(t *testing.T) {
	ps := NewPatterns()
	for limit, want := range map[int]int{-1: 5, 0: 5, 1: 1, 4: 4, 9: 5} {
		if m, err := ps.FindAll("a", "aaaaa", limit, nil); len(m) != want || err != nil {
			t.Errorf("limit %d: %d matches, %v", limit, len(m), err)
		}
	}
}

func TestReplaceTemplate(t *testing.T) {
	tests := []struct{ pattern, s, template, want string }{
		{`(\w+)=(\w+)`, "a=1,b=2", "$2=$1", "1=a,2=b"},
		{`(?P<k>\w+)=(?P<v>\w+)`, "a=1", "${v}_$k", "1_a"},
		{`(a)|(b)`, "ab", "[$1$2]", "[a][b]"},
		{`\d`, "a1b2", "", "ab"}, {`\d`, "none", "$0", "none"}, {`x*`, "ab", "-", "-a-b-"}, {`a`, "aa", "$$$0", "$a$a"}, {`a`, "a", "$$", "$"}, {`a`, "a", "1$$0", "1$0"},
	}
	for _, tt := range tests {
		if got, _, err := NewPatterns().Replace(tt.pattern, tt.s, tt.template, nil); got != tt.want || err != nil {
			t.Errorf("Replace(%q, %q, %q) = %q, %v; want %q", tt.pattern, tt.s, tt.template, got, err, tt.want)
		}
	}
	for _, s := range []string{"a", "b"} { // the template is read without a match too
		for template, want := range map[string]string{"$": "lone $", "a$ b": "lone $", "${1": "lone $", "${}": "lone $", "$1": "has $1,", "$0x": "has $0x,", "${k}": "has $k,", "$99999999999999999999": "no such group", "$é": "has $é,", "$0é": "has $0é,", "$ é": "lone $", "$00": "has $00,"} {
			_, _, err := NewPatterns().Replace("a", s, template, nil)
			wantError(t, err, "re: ", want)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"(": "missing closing )", "a**": "invalid nested repetition", "[z-a]": "invalid character class range", `\1`: "invalid escape", "(?=a)": "invalid or unsupported Perl syntax", "\xff": "invalid UTF-8", "a{1001}": "invalid repeat count",
		strings.Repeat("a", maxPattern+1): "a pattern of 1025 bytes", strings.Repeat("(", maxPattern): "missing closing )", strings.Repeat("(a)", maxGroups+1): "33 groups",
		"(?:abcdefgh){1000}": "becomes too large", "(?:a{100}){10}(?:b{100}){10}": "becomes too large", strings.Repeat(`\pL`, 100): "becomes too large",
		strings.Repeat("(?:", 250) + strings.Repeat(")", 250): "",
	} {
		_, _, err := NewPatterns().Match(pattern, "a", nil)
		if want == "" {
			if err != nil {
				t.Errorf("%.20q: %v", pattern, err)
			}
			continue
		}
		wantError(t, err, "re: ", want)
	}
	if _, _, err := NewPatterns().Match(`[\w.-]{1,255}@[\w.-]{1,255}`, "a@b", nil); err != nil {
		t.Error(err)
	}
}

// The size that is judged before the program is made is at least the program's.
func TestProgramSize(t *testing.T) {
	for _, pattern := range append(rePatterns, `(a*)*{2}`, `(?:a{0,5}){3,}`, `(?i)straße`, `(?:(?:a?)+?){7}`, `a{2,}b{3}c{0,4}`, `(?:|a|b){3}`, `(x{5}|y{0}){2}`, `(?:^$\b){3}`) {
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			continue // a pattern that is none has no size
		}
		checkProgramSize(t, pattern, tree)
	}
}

func checkProgramSize(t *testing.T, pattern string, tree *syntax.Regexp) {
	t.Helper()
	size, _ := programSize(tree)
	if size > maxProgram {
		return
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		t.Fatal(err)
	}
	if len(prog.Inst) > size+2 { // every program has a fail and a match
		t.Errorf("%q has %d instructions, %d were judged", pattern, len(prog.Inst), size)
	}
}

func TestFoundIsBounded(t *testing.T) {
	ps := NewPatterns()
	s := strings.Repeat("a", MaxFound)
	if m, err := ps.FindAll("a", s, 0, nil); len(m) != MaxFound || err != nil {
		t.Errorf("%d matches, %v", len(m), err)
	}
	_, err := ps.FindAll("a", s+"a", 0, nil)
	wantError(t, err, "re: ", "more than 65535 groups")
	_, err = ps.FindAll("(a)", s, 0, nil)
	wantError(t, err, "re: ", "more than 65535 groups")
	if p, err := ps.Split("a", s[1:], 0, nil); len(p) != MaxFound || err != nil {
		t.Errorf("%d pieces, %v", len(p), err)
	}
	_, err = ps.Split("a", s, 0, nil)
	wantError(t, err, "re: ", "more than 65535 pieces")
	_, _, err = ps.Replace("a", s, strings.Repeat("x", MaxReplaced/MaxFound+1), nil)
	wantError(t, err, "re: ", "longer than 8388608 bytes")
	_, _, err = ps.Replace("a", "ab", strings.Repeat("x", MaxReplaced), nil)
	wantError(t, err, "re: ", "longer than 8388608 bytes")
}

// Costs are the same each time, and of a known shape: the first call compiles.
func TestPatternCost(t *testing.T) {
	tests := []struct {
		pattern, s string
		min, max   int
	}{
		{`^devices/([^/]+)/(.*)$`, "devices/42/temperature", 30, 120},
		{`needle`, strings.Repeat("hay ", 25_000), 6000, 6500},        // skipped to, 16 bytes a piece
		{`^x`, strings.Repeat("hay ", 25_000), 1, 30},                 // not searched at all
		{`\d+`, strings.Repeat("hay ", 25_000), 100_000, 400_000},     // 100 KB
		{`(a|b|ab)*c`, strings.Repeat("ab", 1000), 4000, 12_000},      // a backtracker's nightmare
		{`(?:a?){30}a{30}`, strings.Repeat("a", 30), 100, 2000},       // another
		{`(?:x*){50}y`, strings.Repeat("x", 1000), 25_000, 120_000},   // many threads
		{`[\w.]{1,255}@`, strings.Repeat("w", 1000), 60_000, 400_000}, // as many as can be
	}
	for _, tt := range tests {
		ps := NewPatterns()
		charge, first := newCharge()
		ps.Match(tt.pattern, tt.s, charge)
		charge, second := newCharge()
		ps.Match(tt.pattern, tt.s, charge)
		charge, third := newCharge()
		ps.Match(tt.pattern, tt.s, charge)
		if *second < tt.min || *second > tt.max || *second != *third || *first <= *second {
			t.Errorf("%q cost %d, %d, %d; want %d to %d and more at first", tt.pattern, *first, *second, *third, tt.min, tt.max)
		}
	}
}

// A search stops soon after charge panics, and the patterns are as good as before.
func TestChargeStopsASearch(t *testing.T) {
	ps := NewPatterns()
	s := strings.Repeat("a", 1<<20)
	for _, pattern := range []string{`(?:.*b)|a`, `(a*)*b`, `a`, `x*`} {
		spent := 0
		stopped := func() (stopped bool) {
			defer func() { stopped = recover() != nil }()
			ps.FindAll(pattern, s, 0, func(n int) {
				if spent += n; spent > 100_000 {
					panic("budget")
				}
			})
			return false
		}()
		if !stopped || spent > 105_000 {
			t.Errorf("%q: stopped is %v after %d", pattern, stopped, spent)
		}
		if _, ok, err := ps.Match(pattern, "ab", nil); !ok || err != nil {
			t.Errorf("%q after a stop: %v, %v", pattern, ok, err)
		}
	}
}

// A pattern that is none is charged as well, or a loop over it would be free.
func TestBadPatternIsCharged(t *testing.T) {
	charge, total := newCharge()
	if _, _, err := NewPatterns().Match("(", "", charge); err == nil || *total < costPatternByte {
		t.Errorf("%v, %d charged", err, *total)
	}
}

func TestPatternsAreForgotten(t *testing.T) {
	ps := NewPatterns()
	for i := range 5000 {
		if _, ok, err := ps.Match(fmt.Sprintf(`^(\w+)/%d$`, i), fmt.Sprintf("a/%d", i), nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if _, ok, _ := ps.Match(`kept`, "kept", nil); !ok {
			t.Fatal("kept")
		}
	}
	memory := 0
	for _, e := range ps.known {
		memory += e.Value.(*pattern).memory
	}
	if len(ps.known) != ps.recent.Len() || memory != ps.memory || memory > maxPatternMemory || memory < maxPatternMemory/2 {
		t.Errorf("%d known, %d recent, %d bytes of %d", len(ps.known), ps.recent.Len(), memory, ps.memory)
	}
	if ps.lookUp(`kept`) == nil || ps.lookUp(`^(\w+)/4999$`) == nil || ps.lookUp(`^(\w+)/0$`) != nil {
		t.Error("not the oldest ones were forgotten")
	}
}

func TestPatternsConcurrently(t *testing.T) {
	ps := NewPatterns()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				s := fmt.Sprintf("k%d=%d", w, i)
				if g, ok, err := ps.Match(fmt.Sprintf(`k\d=(%d|x)`, i%7+i/7*7), s, nil); err != nil || !ok || g[0].Text != s {
					t.Errorf("%q: %v, %v, %v", s, g, ok, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestMatchAllocatesForGroupsOnly(t *testing.T) {
	if raceEnabled {
		t.Skip("machines are forgotten at random")
	}
	ps := NewPatterns()
	charge, _ := newCharge()
	for s, want := range map[string]float64{"devices/42/f": 1, "other": 0} {
		if n := testing.AllocsPerRun(100, func() { ps.Match(`^devices/([^/]+)/(.*)$`, s, charge) }); n != want {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for i, pattern := range rePatterns {
		f.Add(pattern, reTexts[i%len(reTexts)])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(s) > 1000 {
			return
		}
		ps := NewPatterns()
		_, _, err := ps.Match(pattern, "", nil)
		tree, stdErr := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "re: ") || stdErr == nil && !strings.Contains(err.Error(), " at most ") && !strings.Contains(err.Error(), "too large") {
				t.Errorf("%q: error %q", pattern, err)
			}
			return
		}
		checkProgramSize(t, pattern, tree)
		checkAgainstRegexp(t, ps, pattern, s)
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"$1", "${k}x$0", "$$$$1", "$", "a${", "$1x", "$$$00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		const pattern, s = `(?P<k>a)(b)?`, "xaby"
		got, _, err := NewPatterns().Replace(pattern, s, template, nil)
		if err == nil {
			if want := regexp.MustCompile(pattern).ReplaceAllString(s, template); got != want {
				t.Errorf("%q: %q, want %q", template, got, want)
			}
		}
	})
}

func BenchmarkPatternMatch(b *testing.B) {
	const pattern, s = `^devices/([^/]+)/(.*)$`, "devices/42/temperature"
	b.Run("lib", func(b *testing.B) {
		ps := NewPatterns()
		b.ReportAllocs()
		for b.Loop() {
			ps.Match(pattern, s, nil)
		}
	})
	b.Run("regexp", func(b *testing.B) {
		re := regexp.MustCompile(pattern)
		b.ReportAllocs()
		for b.Loop() {
			re.FindStringSubmatch(s)
		}
	})
}

// BenchmarkPatternWorst says what a charged instruction takes at most.
func BenchmarkPatternWorst(b *testing.B) {
	for _, pattern := range []string{`(?:x*){50}y`, `[\w.]{1,255}@`, `\d+`, `(\pL+)\d`, `(?:(a)|(b)|x){1,60}y`, `\by\b`} {
		s := strings.Repeat("x", 4096)
		b.Run(pattern, func(b *testing.B) {
			ps := NewPatterns()
			total := 0
			for b.Loop() {
				ps.Match(pattern, s, func(n int) { total += n })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/charged")
		})
	}
}

// BenchmarkCompile says what an instruction charged for a compilation takes at most.
func BenchmarkCompile(b *testing.B) {
	for name, pattern := range map[string]string{
		"topic": `^devices/([^/]+)/(.*)$`, "repeat": `[\w.-]{1,255}@[\w.-]{1,255}`, "classes": strings.Repeat(`\pL`, 45),
		"folded": `(?i)` + strings.Repeat(`[B-\x{1e942}]`, 78), "union": strings.Repeat(`\pL|`, 255), "refused": strings.Repeat(`\pL`, 340), "union of folded": "(?i)" + strings.Repeat(`\pL|`, 254), "one class": "[" + strings.Repeat(`\pL`, 340) + "]", "alternatives": strings.Repeat(`ab|`, 340), "nested": strings.Repeat("(?:a", 170) + strings.Repeat(")*", 170),
	} {
		b.Run(name, func(b *testing.B) {
			total := 0
			var err error
			for b.Loop() {
				_, _, err = NewPatterns().Match(pattern, "", func(n int) { total += n })
			}
			if err != nil {
				b.Log(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/charged")
		})
	}
}
