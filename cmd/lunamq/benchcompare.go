package main

import (
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
	with    []string
	rounds  int
	scripts string
	secure  bool
	quick   bool
}

func compareCommand() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare [SCENARIO]",
		Short: "Start this broker and others in turn, and compare them",
		Long: `Start this broker and others in turn, A B A B, put the same load on each, and
print medians and ratios. Each is started anew for each run, in a folder of its own,
and ended by its process id. The default scenario is pair; flags that it does not
have mean nothing to it.`,
		Example: `  lunamq bench compare
  lunamq bench compare fanout --qos 1 --rounds 5
  lunamq bench compare pair --with mosquitto --with 'other=/opt/other/broker --port {port}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.compare(cmd, firstOf(args)) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.with, "with", []string{"mosquitto"}, "compare with `BROKER`: mosquitto, or NAME=COMMAND with {port}, and {dir}, {cert}, {key}, {ca}, where they belong; repeatable, ratios are to the last")
	flags.IntVar(&f.rounds, "rounds", 5, "`N` runs of each broker")
	flags.StringVar(&f.scripts, "scripts", "", "`DIR` of the Lua rules of this broker")
	flags.BoolVar(&f.secure, "tls", false, "over TLS")
	flags.BoolVar(&f.quick, "quick", false, "one round of a second: to see that it works, not to measure")
	f.Options = scenarioOptions()
	f.addLoad(flags, func(string) bool { return true })
	f.addOutput(flags)
	return cmd
}

// scenarioOptions are the defaults that the help shows: those of pair.
func scenarioOptions() bench.Options { return bench.Scenarios[0].Defaults() }

func (f *compareFlags) compare(cmd *cobra.Command, scenario string) error {
	contest, err := f.contest(cmd, scenario)
	if err != nil {
		return err
	}
	leaveProcessors()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := bench.Compare(ctx, *contest)
	switch {
	case errors.As(err, new(*bench.OptionError)):
		return usageError{err}
	case err != nil:
		return err
	case f.json:
		return printJSON(cmd.OutOrStdout(), result)
	}
	printComparison(cmd.OutOrStdout(), result)
	return nil
}

// contest is what the command line asks for.
func (f *compareFlags) contest(cmd *cobra.Command, scenario string) (*bench.Contest, error) {
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
	f.Options = f.given(cmd.Flags(), s)
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
	out := []bench.Broker{bench.LunaMQ(program, scripts, f.secure)}
	for _, name := range f.with {
		var b bench.Broker
		if name == "mosquitto" {
			b, err = bench.Mosquitto(f.secure)
		} else if b, err = bench.Command(name); err != nil {
			err = usageError{err}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
