package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"lunamq/scripting"
)

func checkCommand() *cobra.Command {
	var f rulesFlags
	cmd := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Compile, load and lint a folder of rules",
		Long: `Compile, load and lint a folder of rules, and its tests: that of the
configuration, unless another is named. Every finding is printed with file and
line, and the exit code is 1 if there is any.`,
		Example: `  lunamq check
  lunamq check rules --json`,
		Args: oneDir,
		RunE: func(cmd *cobra.Command, args []string) error { return f.check(cmd, firstOf(args)) },
	}
	f.add(cmd.Flags())
	return cmd
}

func (f *rulesFlags) check(cmd *cobra.Command, dir string) error {
	c, err := f.load(dir)
	if err != nil {
		return err
	}
	report, err := scripting.Check(cmd.Context(), scriptingOptions(c))
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if f.json {
		err = printJSON(out, report)
	} else {
		for _, finding := range report.Findings {
			fmt.Fprintln(out, finding)
		}
		if len(report.Findings) == 0 {
			fmt.Fprintf(out, "%s: good: %s, %s, %s\n", c.Scripting.Dir,
				count(report.Files, "file"), count(report.Handlers, "handler"), count(report.Tests, "test file"))
		}
	}
	if err == nil && len(report.Findings) > 0 {
		err = errQuiet
	}
	return err
}
