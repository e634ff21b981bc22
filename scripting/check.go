package scripting

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lunamq/core/topic"
	"lunamq/scripting/sandbox"
)

// Finding is one thing that is wrong with a set of rules.
type Finding struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // 0 if it is about the whole file
	Rule   string `json:"rule"`           // "load", "unknown-global", …
	Text   string `json:"text"`
	Source string `json:"source,omitempty"` // the line
}

// String is "file.lua:7: text", and the line.
func (f Finding) String() string {
	out := f.Text
	if f.Line > 0 {
		out = strconv.Itoa(f.Line) + ": " + out
	}
	if f.File != "" {
		sep := ": "
		if f.Line > 0 {
			sep = ":"
		}
		out = f.File + sep + out
	}
	if f.Source != "" {
		out += "\n    " + f.Source
	}
	return out
}

// CheckReport is what a look at a scripts folder found.
type CheckReport struct {
	Files    int       `json:"files"` // rules and modules
	Tests    int       `json:"test_files"`
	Handlers int       `json:"handlers"`
	Findings []Finding `json:"findings"`
}

// Check compiles, loads and lints the rules in o.Dir, and its tests. An error
// means that the folder cannot be read.
func Check(ctx context.Context, o Options) (*CheckReport, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	set, err := readTestedSet(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &checker{set: set, report: CheckReport{Files: len(set.files), Tests: len(set.tests)}}
	g := c.load(ctx, o)
	if err := c.lint(ctx, o, g); err != nil {
		return nil, err
	}
	c.finish()
	return &c.report, nil
}

type checker struct {
	set    *fileSet
	report CheckReport
}

// load loads the set as a reload would, nil if it cannot be.
func (c *checker) load(ctx context.Context, o Options) *generation {
	o.Deadline = trialDeadline
	g, err := New(nil, o).build(ctx, c.set, 1)
	if err != nil {
		c.notLoaded(err)
		return nil
	}
	c.report.Handlers = len(g.handlers)
	if _, err := newTrial(ctx, o, c.set, g.chunks); err != nil { // load handlers run
		c.notLoaded(err)
	}
	return g
}

// notLoaded makes findings of an error of loading.
func (c *checker) notLoaded(err error) {
	list := []string{err.Error()}
	if load, ok := err.(*LoadError); ok {
		list = load.Findings
	}
	for _, text := range list {
		c.report.Findings = append(c.report.Findings, parseFinding(text))
	}
}

var findingText = regexp.MustCompile(`(?s)^([^:\n]+\.lua):(?:(\d+):)? (.*)$`)

// parseFinding takes a finding of loading, "file.lua:7: text\n    line", apart.
func parseFinding(text string) Finding {
	f := Finding{Rule: lintLoad, Text: text}
	if m := findingText.FindStringSubmatch(text); m != nil {
		f.File, f.Text = m[1], m[3]
		f.Line, _ = strconv.Atoi(m[2]) // digits, or none
	}
	f.Text, _, _ = strings.Cut(f.Text, "\n    ")
	return f
}

// lint looks at the rules, and at the tests with what tests may use.
func (c *checker) lint(ctx context.Context, o Options, g *generation) error {
	plain, err := newTrial(ctx, o, &fileSet{}, nil)
	if err != nil {
		return err
	}
	rules := newLinter(plain.tester)
	for _, f := range c.set.files {
		c.look(rules, f)
	}
	rules.finish()
	c.report.Findings = append(c.report.Findings, rules.findings...)
	if g != nil {
		c.handlers(rules, g)
	}
	plain.openTests(func(testCase) error { return nil })
	tests := newLinter(plain.tester)
	for _, f := range c.set.tests {
		c.look(tests, f)
	}
	tests.finish()
	c.report.Findings = append(c.report.Findings, tests.findings...)
	return nil
}

// look lints a file that compiles: what does not is a finding already, or here.
func (c *checker) look(l *linter, f script) {
	if _, err := sandbox.Compile(f.name, f.source); err == nil {
		l.look(f)
	} else if isTest(f.name) {
		c.report.Findings = append(c.report.Findings, parseFinding(err.Error()))
	}
}

// handlers lints what the files registered.
func (c *checker) handlers(l *linter, g *generation) {
	for i, h := range g.handlers {
		if text := neverFits(h, g.engine.options.TopicLevels); text != "" {
			c.find(h.by, lintNeverFits, text)
		}
		if by := l.silencer(g, i); by != "" {
			c.find(h.by, lintNeverRuns, "this handler never runs: the one of "+by+" refuses everything that would come here")
		}
	}
}

// neverFits says why no topic matches a handler's filter, "" if some may.
func neverFits(h *handler, topicLevels int) string {
	if h.info.match != matchTopic || h.filter == "" {
		return ""
	}
	publishes := h.info.name == "publish" || h.info.name == "will"
	if publishes && isSys(h.filter) {
		return fmt.Sprintf("the filter %q never matches: $SYS is the broker's own, no client publishes there", h.filter)
	}
	levels := topic.Levels(strings.TrimSuffix(h.filter, "/#"))
	if levels > topicLevels {
		return fmt.Sprintf("the filter %q never matches: topics have at most %d levels ([limits] topic_levels)", clip(h.filter), topicLevels)
	}
	return ""
}

// silencer is the place of an earlier handler that refuses all events which
// handler i would get; "" if there is none, or if a handler between them may
// change the topic.
func (l *linter) silencer(g *generation, i int) string {
	h := g.handlers[i]
	covered := func(by, of *handler) bool {
		return by.filter == "" || of.filter != "" && topic.Covers(by.filter, of.filter)
	}
	for n, earlier := range g.handlers[:i] {
		if earlier.info != h.info || !covered(earlier, h) || !l.isRefusing(g, earlier) {
			continue
		}
		free := slices.ContainsFunc(g.handlers[n+1:i], func(between *handler) bool {
			return between.info == h.info && !covered(earlier, between)
		})
		if !free {
			return earlier.by
		}
	}
	return ""
}

// isRefusing says that a handler's function does nothing but refuse, as far as
// its line tells.
func (l *linter) isRefusing(g *generation, h *handler) bool {
	p := g.world(0).functions[h.index].Proto
	if p == nil {
		return false // a function of Go
	}
	at := fmt.Sprintf("%s:%d", p.SourceName, p.LineDefined)
	return l.defined[at] == 1 && l.refusing[at] == 1
}

func (c *checker) find(by, rule, text string) {
	file, line, _ := strings.Cut(by, ":")
	n, _ := strconv.Atoi(line) // place made it
	c.report.Findings = append(c.report.Findings, Finding{File: file, Line: n, Rule: rule, Text: text})
}

// finish sorts the findings, gives each its line of source, and keeps of those
// of one place with one text the first.
func (c *checker) finish() {
	list := c.report.Findings
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	list = slices.CompactFunc(list, func(a, b Finding) bool {
		return a.File == b.File && a.Line == b.Line && a.Text == b.Text
	})
	for i := range list {
		list[i].Source = c.set.line(list[i].File, list[i].Line)
	}
	if c.report.Findings = list; list == nil {
		c.report.Findings = []Finding{}
	}
}
