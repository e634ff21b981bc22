package scripting

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lunamq/scripting/sandbox"
)

// Bounds of the tests of one set, so that a wrong folder is an error.
const (
	maxTests     = 10_000 // of one file
	maxTestName  = 200    // bytes
	maxTestLines = 20     // of what a failed test logged
)

// TestResult is what became of one test.
type TestResult struct {
	File   string        `json:"file"`
	Line   int           `json:"line"` // of test(…)
	Name   string        `json:"name"`
	Passed bool          `json:"passed"`
	Took   time.Duration `json:"took_ns"`

	Failure *Failure `json:"failure,omitempty"` // why it did not pass
	Logs    []string `json:"logs,omitempty"`    // what a failed test said
}

// TestReport is what became of all.
type TestReport struct {
	Results []TestResult `json:"tests"`
	Passed  int          `json:"passed"`
	Failed  int          `json:"failed"`
}

// Test runs the tests beside the rules in o.Dir, each with the rules in a world
// of its own: those whose name match finds, all if it is nil. each, if not nil,
// is told of every result as it comes. An error means that no test could run: a
// set of rules that cannot be loaded is a *LoadError.
func Test(ctx context.Context, o Options, match *regexp.Regexp, each func(TestResult)) (*TestReport, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	set, err := readTestedSet(o.Dir)
	if err != nil {
		return nil, err
	}
	return runTests(ctx, o, set, match, each)
}

// testRun is one run of the tests of a set.
type testRun struct {
	ctx     context.Context
	options Options
	set     *fileSet
	chunks  map[string]*sandbox.Chunk
	match   *regexp.Regexp
	each    func(TestResult)
	report  TestReport
}

func runTests(ctx context.Context, o Options, set *fileSet, match *regexp.Regexp, each func(TestResult)) (*TestReport, error) {
	chunks, err := compileSet(set)
	if err != nil {
		return nil, err
	}
	if _, err := newTrial(ctx, o, set, chunks); err != nil { // the rules, before any test
		return nil, err
	}
	r := &testRun{ctx: ctx, options: o, set: set, chunks: chunks, match: match, each: each}
	r.report.Results = []TestResult{}
	for _, f := range set.tests {
		if err := r.file(f); err != nil {
			return nil, err
		}
	}
	return &r.report, nil
}

// file runs the tests of one file. One that cannot be loaded is a failed test
// without a name.
func (r *testRun) file(f script) error {
	began := time.Now()
	chunk, err := sandbox.Compile(f.name, f.source)
	var names []testCase
	if err == nil {
		names, _, err = r.load(chunk)
	}
	if err != nil {
		r.add(TestResult{File: f.name, Name: "(load)", Line: 1, Took: time.Since(began), Failure: r.failure(err)})
		return r.ctx.Err()
	}
	for i, c := range names {
		if r.match != nil && !r.match.MatchString(c.name) {
			continue
		}
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		r.add(r.one(f, chunk, i, c))
	}
	return nil
}

// load runs the file scope of a test file, in a new trial.
func (r *testRun) load(chunk *sandbox.Chunk) ([]testCase, *trial, error) {
	t, err := newTrial(r.ctx, r.options, r.set, r.chunks)
	if err != nil {
		return nil, nil, err
	}
	var cases []testCase
	t.openTests(func(c testCase) error {
		switch {
		case len(c.name) == 0 || len(c.name) > maxTestName:
			return fmt.Errorf("the name has %d bytes, want 1 to %d", len(c.name), maxTestName)
		case len(cases) == maxTests:
			return fmt.Errorf("there are more than %d tests in the file", maxTests)
		case slices.ContainsFunc(cases, func(o testCase) bool { return o.name == c.name }):
			return fmt.Errorf("there is another test %q in the file", clip(c.name))
		}
		if _, line, ok := strings.Cut(c.at, ":"); ok {
			c.line, _ = strconv.Atoi(line) // place made it
		}
		cases = append(cases, c)
		return nil
	})
	t.tester.Lock()
	defer t.tester.Unlock()
	err = t.tester.Run(chunk)
	t.tester.loading = nil
	t.tester.Seal()
	t.said = nil
	return cases, t, err
}

// one runs test i of a file, in a world where nothing else has run.
func (r *testRun) one(f script, chunk *sandbox.Chunk, i int, c testCase) TestResult {
	began := time.Now()
	out := TestResult{File: f.name, Line: c.line, Name: c.name}
	cases, t, err := r.load(chunk)
	if err == nil && (i >= len(cases) || cases[i].name != c.name) {
		err = errors.New("the file has other tests each time it is loaded: they must not depend on chance or time")
	}
	if err == nil {
		err = t.inTester(cases[i].fn, 0)
	}
	out.Failure = r.verdict(t, err)
	if out.Passed = out.Failure == nil; !out.Passed && t != nil {
		for _, l := range t.said[:min(len(t.said), maxTestLines)] {
			out.Logs = append(out.Logs, l.String())
		}
	}
	out.Took = time.Since(began)
	return out
}

// verdict says why a test did not pass; nil if it did.
func (r *testRun) verdict(t *trial, err error) *Failure {
	if t != nil && t.unmet != nil {
		f := &Failure{At: t.unmet.at, Text: t.unmet.text, Source: r.lineAt(t.unmet.at)}
		if broken := t.unasked(); broken != nil {
			f.Text += "\nbefore that a rule failed: " + broken.headline()
		}
		return f
	}
	if err != nil {
		f := r.failure(err)
		if t != nil && t.unasked() != nil {
			f.Text += "\nbefore that a rule failed: " + t.unasked().headline()
		}
		return f
	}
	if broken := t.unasked(); broken != nil {
		f := *broken
		f.Text = "a rule failed, and no expectation asks for it: " + f.Text
		return &f
	}
	return nil
}

// failure describes an error of a test's own code.
func (r *testRun) failure(err error) *Failure {
	f := &Failure{Text: clipTo(err.Error(), maxUnmet)}
	var script *sandbox.Error
	if errors.As(err, &script) {
		f.Text = clipTo(script.Message, maxUnmet)
		if script.File != "" {
			f.At = script.File + ":" + strconv.Itoa(script.Line)
		}
		f.Source = r.set.line(script.File, script.Line)
		f.Traceback = clipTo(script.Traceback, maxTraceback)
	}
	return f
}

// lineAt is the source at "file:line".
func (r *testRun) lineAt(at string) string {
	file, line, _ := strings.Cut(at, ":")
	n, err := strconv.Atoi(line)
	if err != nil {
		return ""
	}
	return r.set.line(file, n)
}

func (r *testRun) add(t TestResult) {
	r.report.Results = append(r.report.Results, t)
	if t.Passed {
		r.report.Passed++
	} else {
		r.report.Failed++
	}
	if r.each != nil {
		r.each(t)
	}
}

// checkTests refuses a set whose tests do not pass, where they must, within the
// time for loading. A set that cannot be loaded is left to loading.
func (e *Engine) checkTests(ctx context.Context, set *fileSet) error {
	if !e.options.TestBeforeReload {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.timing.load, fmt.Errorf("the tests of the scripts took longer than %v", e.timing.load))
	defer cancel()
	report, err := runTests(ctx, e.options, set, nil, nil)
	if load := (*LoadError)(nil); errors.As(err, &load) {
		return nil
	}
	if err != nil {
		return err
	}
	var findings []string
	for _, t := range report.Results {
		if !t.Passed {
			f := *t.Failure
			f.In, f.Traceback = "test "+strconv.Quote(clip(t.Name)), ""
			findings = append(findings, f.String())
		}
	}
	if len(findings) > 0 {
		return &LoadError{Findings: findings}
	}
	return nil
}
