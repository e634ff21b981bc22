package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lunamq/scripting"
)

// testFlags are those of lunamq test.
type testFlags struct {
	rulesFlags
	run string
}

func testCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests of a folder of rules",
		Long: `Run the *_test.lua files of a folder of rules, that of the configuration
unless another is named. Each test has the rules in a world of its own, with an
empty kv and a clock that it moves itself. The exit code is 1 if any fails.`,
		Example: `  lunamq test
  lunamq test rules -run Fahrenheit`,
		Args: oneDir,
		RunE: func(cmd *cobra.Command, args []string) error { return f.test(cmd, firstOf(args)) },
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&f.run, "run", "", "run only tests whose name matches `REGEXP` (also -run)")
	return cmd
}

func (f *testFlags) test(cmd *cobra.Command, dir string) error {
	c, err := f.load(dir)
	if err != nil {
		return err
	}
	match, err := regexp.Compile(f.run)
	if err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	out, began := cmd.OutOrStdout(), time.Now()
	each := func(r scripting.TestResult) { printTest(out, r) }
	if f.json {
		each = nil
	}
	report, err := scripting.Test(cmd.Context(), scriptingOptions(c), match, each)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		err = printJSON(out, report)
	case len(report.Results) == 0 && f.run != "":
		err = fmt.Errorf("no test in %s has a name that matches %q", c.Scripting.Dir, f.run)
	default:
		fmt.Fprintf(out, "%s: %d passed, %d failed (%s)\n", c.Scripting.Dir, report.Passed, report.Failed, shortTime(time.Since(began)))
	}
	if err == nil && report.Failed > 0 {
		err = errQuiet
	}
	return err
}

func printTest(out io.Writer, r scripting.TestResult) {
	word := "FAIL"
	if r.Passed {
		word = "ok  "
	}
	fmt.Fprintf(out, "%s  %s  %s (%s)\n", word, r.File, r.Name, shortTime(r.Took))
	if r.Failure != nil {
		fmt.Fprintln(out, indent(r.Failure.String()))
	}
	for _, l := range r.Logs {
		fmt.Fprintln(out, indent(l))
	}
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(text, "\n", "\n      ")
}

// shortTime leaves out what nobody reads.
func shortTime(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
