package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lunamq/cmd/lunamq/bench"
)

// compareFlags are those of lunamq bench compare.
type compareFlags struct {
	benchFlags
	with      []string
	rounds    int
	scripts   string
	subscribe string // of the subscribers of this program
	secure    bool
	quick     bool
	suite     string
	markdown  bool
}

func compareCommand() *cobra.Command {
	f := &compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare [SCENARIO]",
		Short: "Start this broker and others in turn, and compare them",
		Long: `Start this broker and others in turn, A B A B, put the same load on each, and
print medians and ratios. Each is started anew for each run, in a folder of its own
below the system's for temporary files, and ended by its process id; if anything
fails, its folder with its log stays. The default scenario is pair; a flag that a
scenario does not have means nothing to it.

--suite targets runs every scenario for which this project has set itself a target,
and prints the targets beside the results. --suite scaling compares this program with
itself: what a message costs with 10 connections and with 5000, with 10 filters and
with a million, and in the first minute of load and in the tenth (--duration is the
minute). --suite durable compares this broker, which acknowledges what is on the disk,
with itself keeping all in memory, and measures the syncs of the disk beside it.`,
		Example: `  lunamq bench compare
  lunamq bench compare fanout --qos 1 --rounds 3 --json
  lunamq bench compare pair --with mosquitto --with 'other=/opt/other/broker --port {port}'
  lunamq bench compare idle --tls --clients 5000
  lunamq bench compare pair --scripts rules --scripts-subscribe 'changed/%i' --with lunamq
  lunamq bench compare pair --qos 1 --clean=false --with memory
  lunamq bench compare --suite targets --markdown
  lunamq bench compare --suite scaling --rounds 3 --duration 5s
  lunamq bench compare --suite durable`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.suite != "" {
				return f.runSuite(cmd, args)
			}
			return f.compare(cmd, firstOf(args))
		},
	}
	f.add(cmd.Flags())
	return cmd
}

func (f *compareFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.with, "with", []string{"mosquitto"}, "compare with `BROKER`: mosquitto; lunamq, which is this program without rules; memory, without rules and with [storage] kind = \"memory\"; or NAME=COMMAND with {port}, and {dir}, {cert}, {key}, {ca}, where they belong; repeatable, ratios are to the last")
	flags.IntVar(&f.rounds, "rounds", 5, "`N` runs of each broker")
	flags.StringVar(&f.scripts, "scripts", "", "`DIR` of the Lua rules of this broker")
	flags.StringVar(&f.subscribe, "scripts-subscribe", "", "`FILTER` to which the subscribers of this broker subscribe in place of --filter, where its rules change topics")
	flags.BoolVar(&f.secure, "tls", false, "over TLS")
	flags.BoolVar(&f.quick, "quick", false, "one round of a second: to see that it works, not to measure")
	flags.StringVar(&f.suite, "suite", "", "run the `SUITE` of scenarios: targets, scaling or durable")
	flags.BoolVar(&f.markdown, "markdown", false, "print the table in Markdown")
	f.Options = bench.Scenarios[0].Defaults()
	f.addLoad(flags, func(string) bool { return true })
	f.addOutput(flags)
}

func (f *compareFlags) compare(cmd *cobra.Command, scenario string) error {
	contest, err := f.contest(cmd, cmd.Flags(), scenario)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := hold(ctx, contest)
	f.endProgress(cmd)
	switch {
	case err != nil:
		return err
	case f.json:
		return printJSON(cmd.OutOrStdout(), result)
	}
	printComparison(cmd.OutOrStdout(), result, f.markdown)
	return nil
}

// hold runs a contest.
func hold(ctx context.Context, c *bench.Contest) (*bench.Comparison, error) {
	leaveProcessors()
	result, err := bench.Compare(ctx, *c)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if errors.As(err, new(*bench.OptionError)) {
		return nil, usageError{err}
	}
	return result, err
}

// contest is what the command line asks for.
func (f *compareFlags) contest(cmd *cobra.Command, flags *pflag.FlagSet, scenario string) (*bench.Contest, error) {
	if scenario == "" {
		scenario = f.Scenario
	}
	s, err := bench.FindScenario(scenario)
	if err != nil {
		return nil, usageError{err}
	}
	if err := f.complete(cmd); err != nil {
		return nil, err
	}
	f.Options = f.given(flags, s)
	c := &bench.Contest{Options: f.Options, Rounds: f.rounds, Secure: f.secure}
	if f.quick {
		c.Quick()
	}
	if c.Rounds < 1 {
		return nil, usageError{errors.New("--rounds must be at least 1")}
	}
	if c.Brokers, err = f.brokers(); err != nil {
		return nil, err
	}
	if f.progress {
		c.OnStart = func(round int, broker string) {
			fmt.Fprintf(cmd.ErrOrStderr(), "round %d of %d: %s\n", round+1, c.Rounds, broker)
		}
	}
	return c, nil
}

// given are the defaults of the scenario, with what the command line says.
func (f *compareFlags) given(flags *pflag.FlagSet, s *bench.Scenario) bench.Options {
	var own benchFlags
	own.Options = s.Defaults()
	mine := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.addLoad(mine, func(string) bool { return true })
	flags.Visit(func(flag *pflag.Flag) {
		if mine.Lookup(flag.Name) != nil {
			mine.Set(flag.Name, flag.Value.String()) // it was parsed before
		}
	})
	own.Version, own.Progress = f.Version, f.Progress
	return own.Options
}

// brokers are this program and those it is compared with.
func (f *compareFlags) brokers() ([]bench.Broker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	scripts := f.scripts
	if scripts != "" {
		if scripts, err = filepath.Abs(scripts); err != nil {
			return nil, err
		}
	}
	own := bench.LunaMQ(program, scripts, f.secure)
	own.Subscribe = f.subscribe
	out := []bench.Broker{own}
	for _, name := range f.with {
		b, err := f.other(program, name)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// other is a broker that this program is compared with.
func (f *compareFlags) other(program, name string) (bench.Broker, error) {
	switch name {
	case "mosquitto":
		return bench.Mosquitto(f.secure)
	case "lunamq":
		b := bench.LunaMQ(program, "", f.secure)
		b.Name = "no rules"
		return b, nil
	case "memory":
		return bench.InMemory(bench.LunaMQ(program, "", f.secure)), nil
	}
	b, err := bench.Command(name)
	if err != nil {
		return b, usageError{err}
	}
	return b, nil
}
