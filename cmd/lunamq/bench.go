package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lunamq/cmd/lunamq/bench"
	"lunamq/core/packet"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put load on an MQTT broker, any one, and measure it",
		Long: `Put load on an MQTT broker, any one, and measure messages per second, latency and,
with --pid, what the broker takes: CPU, memory, threads. A message counts when its
subscriber has it; what is lost, comes twice or out of order is reported, and with
QoS 1 and 2 the exit code is 1.

The tool runs on half of the processors, so that the broker has the rest; the
environment variable GOMAXPROCS says otherwise.`,
		Example: `  lunamq bench pair --pid $(pidof lunamq)
  lunamq bench fanout --url tls://broker.example.org:8883 --username me --password secret
  lunamq bench compare pair --rounds 5`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, s := range bench.Scenarios {
		cmd.AddCommand(scenarioCommand(s))
	}
	cmd.AddCommand(compareCommand())
	return cmd
}

// benchFlags are what one run, and each run of a comparison, is told.
type benchFlags struct {
	bench.Options
	protocol string
	cafile   string
	insecure bool
	json     bool
	progress bool
}

func scenarioCommand(s *bench.Scenario) *cobra.Command {
	f := benchFlags{Options: s.Defaults()}
	cmd := &cobra.Command{
		Use:     s.Name,
		Short:   s.Short,
		Long:    s.Long,
		Example: s.Example,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.addTarget(cmd.Flags())
	f.addLoad(cmd.Flags(), s.Has)
	f.addOutput(cmd.Flags())
	return cmd
}

// addTarget adds the flags that say which broker.
func (f *benchFlags) addTarget(flags *pflag.FlagSet) {
	flags.StringVar(&f.URL, "url", f.URL, "broker at `URL`: tcp://, tls://, ws:// or wss://HOST:PORT")
	flags.IntVar(&f.PID, "pid", 0, "process `ID` of the broker, when it runs on this machine: measure its CPU and memory")
	flags.StringVar(&f.Username, "username", "", "user `NAME`")
	flags.StringVar(&f.Password, "password", "", "`PASSWORD`")
	flags.StringVar(&f.cafile, "cafile", "", "`FILE` of the authorities to trust with tls:// and wss:// (PEM; default those of the system)")
	flags.BoolVar(&f.insecure, "insecure", false, "trust any certificate")
}

// addLoad adds the flags that say what to do, as far as they mean something.
func (f *benchFlags) addLoad(flags *pflag.FlagSet, has func(string) bool) {
	flags.StringVar(&f.protocol, "protocol", "3.1.1", "`VERSION` of MQTT: 3.1, 3.1.1 or 5")
	flags.BoolVar(&f.Clean, "clean", true, "clean start (clean session); --clean=false leaves sessions behind, for an hour with MQTT 5")
	number := func(name string, p *int, usage string) {
		if has(name) {
			flags.IntVar(p, name, *p, usage)
		}
	}
	number("pairs", &f.Pairs, "`N` publishers, each with its subscriber")
	number("publishers", &f.Publishers, "`N` publishers")
	number("subscribers", &f.Subscribers, "`N` subscribers")
	number("clients", &f.Clients, "`N` clients")
	number("count", &f.Count, "`N` of what there is: retained messages, or filters")
	number("size", &f.Size, "payload of `N` bytes, at least 24, which say when and by whom it was sent")
	number("burst", &f.Burst, "`N` messages a write")
	number("window", &f.Window, "at most `N` messages of a publisher under way (default: 1000 with QoS 0, else 50, of all publishers of a subscriber; less for large payloads)")
	if has("qos") {
		flags.Uint8Var(&f.QoS, "qos", f.QoS, "`QOS` of messages and subscriptions")
	}
	if has("rate") {
		flags.Float64Var(&f.Rate, "rate", f.Rate, "`N` messages a second, of all pairs together")
	}
	if has("topic") {
		flags.StringVar(&f.Topic, "topic", f.Topic, "`TOPIC` of the publishers, with %i for the publisher's number, %n for the message's, %r for something random")
	}
	if has("filter") {
		flags.StringVar(&f.Filter, "filter", f.Filter, "`FILTER` of the subscribers, with %i for the subscriber's number")
	}
	if has("subscribe") {
		flags.StringVar(&f.Subscribe, "subscribe", "", "subscribe to `FILTER` in place of --filter, which then says only who is to hear whom: for brokers that change topics")
	}
	if has("load") {
		flags.DurationVar(&f.Duration, "duration", f.Duration, "measure for so long")
		flags.IntVar(&f.Messages, "messages", 0, "measure `N` messages, of all publishers together, in place of --duration")
		flags.DurationVar(&f.Warmup, "warmup", f.Warmup, "load before that, which does not count")
	}
	if has("settle") {
		flags.DurationVar(&f.Settle, "settle", f.Settle, "wait at most so long until memory does not change any more")
	}
	flags.DurationVar(&f.Rest, "rest", 0, "measure the broker's memory once more, so long after the load")
}

func (f *benchFlags) addOutput(flags *pflag.FlagSet) {
	flags.BoolVar(&f.json, "json", false, "print JSON, for programs")
	flags.BoolVar(&f.progress, "progress", false, "print a line every second; without it, there is one that changes where standard error is a terminal")
}

// complete works out the options that are not plain flags.
func (f *benchFlags) complete(cmd *cobra.Command) error {
	versions := map[string]packet.Version{"3.1": packet.V31, "3.1.1": packet.V311, "5": packet.V5, "5.0": packet.V5}
	v, ok := versions[f.protocol]
	if !ok {
		return usageError{fmt.Errorf("--protocol %q: must be 3.1, 3.1.1 or 5", f.protocol)}
	}
	f.Version = v
	if f.cafile != "" || f.insecure {
		f.TLS = &tls.Config{InsecureSkipVerify: f.insecure}
	}
	if f.cafile != "" {
		text, err := os.ReadFile(f.cafile)
		if err != nil {
			return err
		}
		f.TLS.RootCAs = x509.NewCertPool()
		if !f.TLS.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s has no certificate (PEM)", f.cafile)
		}
	}
	f.Progress = f.progressPrinter(cmd)
	return nil
}

// run runs one scenario and prints what it found, also when that is an error.
func (f *benchFlags) run(cmd *cobra.Command) error {
	if err := f.complete(cmd); err != nil {
		return err
	}
	leaveProcessors()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := bench.Run(ctx, f.Options)
	f.endProgress(cmd)
	if ctx.Err() != nil {
		return errInterrupted
	}
	if errors.As(err, new(*bench.OptionError)) {
		return usageError{err}
	}
	if result == nil {
		return err
	}
	if f.json {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), result))
	} else {
		printBench(cmd.OutOrStdout(), result)
	}
	return err
}

// errInterrupted: the user has ended it.
var errInterrupted = errors.New("interrupted")

// leaveProcessors runs this program on half of the processors. A tool that has
// them all takes them from the broker, and its runtime looks for work on the
// idle ones, which costs more than the work.
func leaveProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/2))
	}
}

// onTerminal says whether standard error is one.
func onTerminal(cmd *cobra.Command) bool {
	info, err := os.Stderr.Stat()
	return cmd.ErrOrStderr() == os.Stderr && err == nil && info.Mode()&os.ModeCharDevice != 0
}

// eraseLine goes to the start of a terminal's line and erases it.
const eraseLine = "\r\033[K"

// progressPrinter tells how far it is: on a terminal in one line that changes.
func (f *benchFlags) progressPrinter(cmd *cobra.Command) func(bench.Progress) {
	w, before, after := cmd.ErrOrStderr(), "", "\n"
	switch {
	case onTerminal(cmd) && !f.progress:
		before, after = eraseLine, ""
	case !f.progress:
		return nil
	}
	return func(p bench.Progress) {
		fmt.Fprintf(w, "%s%5s  %-10s %12d %s, %.0f/s%s", before, p.Elapsed.Round(time.Second), p.Phase, p.Done, p.Unit, p.Rate, after)
	}
}

// endProgress leaves the line to what comes.
func (f *benchFlags) endProgress(cmd *cobra.Command) {
	if onTerminal(cmd) && !f.progress {
		fmt.Fprint(cmd.ErrOrStderr(), eraseLine)
	}
}
