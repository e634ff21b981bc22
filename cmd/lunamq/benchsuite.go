package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lunamq/cmd/lunamq/bench"
)

// target is one row of the suite: what lunamq bench compare is told, and what
// is to come of it.
type target struct {
	title string
	args  string // of lunamq bench compare, by spaces; {rules} is a folder with the rules
	rules func() string
	goals []goal

	// small is what the same broker is compared with: itself, with less to do, told
	// in the same way. Empty: the brokers of --with.
	small string
	// name is what the table calls that.
	name string
	// tenth is of load that has gone on for nine times as long as is measured.
	tenth bool
}

// goal is a bound of one number.
type goal struct {
	what   string // what the number is
	phase  string
	value  func(*bench.Values) float64
	text   func(float64) string
	atMost float64
	alone  bool // of the number itself, not of its ratio to the other broker's

	atLeast  float64 // in place of atMost
	inflight int     // with atLeast: messages under way, of which a disk that is slow decides
}

func cpuGoal(phase string, atMost float64) goal {
	return goal{what: "CPU each", phase: phase, value: func(v *bench.Values) float64 { return v.CPU }, text: microText, atMost: atMost}
}

func p50Goal(atMost float64) goal {
	return goal{what: "p50", phase: "messages", value: func(v *bench.Values) float64 { return v.P50 }, text: microText, atMost: atMost}
}

func p99Goal(atMost float64) goal {
	return goal{what: "p99", phase: "messages", value: func(v *bench.Values) float64 { return v.P99 }, text: microText, atMost: atMost}
}

func clientGoal(atMost float64) goal {
	return goal{what: "RSS per client", phase: "idle", value: func(v *bench.Values) float64 { return v.PerClient }, text: sizeText, atMost: atMost, alone: true}
}

// targets are those that the project has set itself: CPU of the broker for each
// message, as a ratio to Debian's mosquitto in the same run, but for those that
// say otherwise. What memory is at rest hardly varies, and is measured once.
var targets = []target{
	{title: "pair, QoS 0, 1 message a write", args: "pair --window 1000", goals: []goal{cpuGoal("messages", 0.20)}},
	{title: "pair, QoS 0, 32 messages a write", args: "pair --window 1000 --burst 32", goals: []goal{cpuGoal("messages", 0.05)}},
	{title: "pair, QoS 1", args: "pair --qos 1 --window 50", goals: []goal{cpuGoal("messages", 0.20)}},
	{title: "pair, QoS 2", args: "pair --qos 2 --window 50", goals: []goal{cpuGoal("messages", 0.18)}},
	{title: "1 publisher to 100 subscribers", args: "fanout", goals: []goal{cpuGoal("messages", 0.05)}},
	{title: "10 publishers to 1 subscriber", args: "fanin", goals: []goal{cpuGoal("messages", 0.20)}},
	{title: "5000 messages/s over 100 pairs", args: "paced --rate 5000 --pairs 100", goals: []goal{cpuGoal("messages", 0.95), p99Goal(1)}},
	{title: "payload of 64 KiB, pair", args: "pair --size 65536", goals: []goal{cpuGoal("messages", 0.4)}},
	{title: "1 unloaded pair", args: "pingpong", goals: []goal{p50Goal(1), p99Goal(1)}},
	{title: "9000 idle clients", args: "idle --clients 9000 --rounds 1", goals: []goal{clientGoal(1.7 * 1024)}},
	{title: "9000 idle clients, TLS", args: "idle --clients 9000 --tls --rounds 1", goals: []goal{clientGoal(20 * 1024)}},
	{title: "connect and disconnect", args: "connect", goals: []goal{cpuGoal("connect", 1)}},
	{title: "50000 retained messages", args: "retained --count 50000", goals: []goal{cpuGoal("set", 0.5), cpuGoal("read", 0.35)}},
	{title: "200000 filters, messages match 1 each", args: "filters --count 200000", goals: []goal{cpuGoal("publish", 0.2)}},
	{title: "1 rule changes topic and payload, pair", args: "pair --scripts {rules} --scripts-subscribe changed/bench/%i", rules: changingRule, goals: []goal{cpuGoal("messages", 0.4)}},
	{title: "1000 rules that do not match, pair, to none", args: "pair --scripts {rules} --with lunamq", rules: thousandRules, goals: []goal{cpuGoal("messages", 1.05)}},
	{title: "memory a minute after pair, to before", args: "pair --rest 1m --rounds 1", goals: []goal{
		{what: "RSS", phase: "messages", value: func(v *bench.Values) float64 { return v.Rested }, text: ratioText, atMost: 1.3, alone: true}}},
}

// atMostGrowth bounds what a message may cost more where there is more of everything else.
const atMostGrowth = 1.3

// scaling compares this program with itself. The rate is one that the smallest
// takes with ease, and there are as many receivers, so that both find as much to
// gather in one round.
var scaling = []target{
	{title: "5000 connections", args: "paced --rate 5000 --pairs 2500", small: "paced --rate 5000 --pairs 5", name: "10 connections", goals: []goal{cpuGoal("messages", atMostGrowth)}},
	{title: "1000000 filters", args: "filters --count 1000000 --subscribers 10", small: "filters --count 10 --subscribers 10", name: "10 filters", goals: []goal{cpuGoal("publish", atMostGrowth)}},
	{title: "1000000 filters, 1 message at a time", args: "filters --count 1000000 --subscribers 10 --window 1", small: "filters --count 10 --subscribers 10 --window 1", name: "10 filters", goals: []goal{cpuGoal("publish", atMostGrowth)}},
	{title: "minute 10 of pair, QoS 1", args: "pair --qos 1", small: "pair --qos 1", name: "minute 1", tenth: true, goals: []goal{cpuGoal("messages", atMostGrowth)}},
}

// durable is what sync = "always" costs: at least the smaller of half the rate
// with the store in memory, and four fifths of what the disk's syncs would do if
// each had all messages under way in it.
var durable = []target{
	{title: "QoS 1 to kept sessions, 50 publishers, window 20", args: "pair --pairs 50 --qos 1 --window 20 --clean=false --with memory", goals: []goal{
		{what: "rate", phase: "messages", value: func(v *bench.Values) float64 { return v.Rate }, text: rateText, atLeast: 0.5, inflight: 50 * 20}}},
}

// syncShare is how much of that the syncs must do.
const syncShare = 0.8

// suites are the values of --suite.
var suites = map[string][]target{"targets": targets, "scaling": scaling, "durable": durable}

func rateText(n float64) string { return fmt.Sprintf("%.0f/s", n) }

// changingRule prefixes the topic and extends the payload of every message.
func changingRule() string {
	return `mqtt.on("publish", "bench/#", function(msg)
  msg.topic = "changed/" .. msg.topic
  msg.payload = msg.payload .. ", seen"
end)
`
}

// thousandRules match nothing that the scenarios publish.
func thousandRules() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "mqtt.on(\"publish\", \"other/%d/+\", function(msg) return mqtt.drop() end)\n", i)
	}
	return b.String()
}

// suiteRow is one number of the suite.
type suiteRow struct {
	Title     string  `json:"title"`
	Command   string  `json:"command"` // that measures this alone
	What      string  `json:"what"`
	Own       float64 `json:"own"` // microseconds, bytes, or a ratio
	Other     float64 `json:"other"`
	Reference string  `json:"reference"` // whose the other is
	Ratio     float64 `json:"ratio"`
	AtMost    float64 `json:"at_most"`            // of the ratio, or with "alone" of the number
	AtLeast   float64 `json:"at_least,omitempty"` // of the ratio, in place of at_most
	Syncs     float64 `json:"syncs,omitempty"`    // of the disk, a second, where those decide
	Alone     bool    `json:"alone"`
	Met       bool    `json:"met"`

	text func(float64) string
}

// runSuite runs all rows. What the command line says of time and rounds holds
// for each.
func (f *compareFlags) runSuite(cmd *cobra.Command, args []string) error {
	rowsOf, ok := suites[f.suite]
	switch {
	case !ok:
		return usageError{fmt.Errorf("--suite %q: there are durable, scaling and targets", f.suite)}
	case f.suite == "scaling" && cmd.Flags().Changed("with"):
		return usageError{errors.New("--suite scaling compares this program with itself: leave --with away")}
	}
	if len(args) > 0 {
		return usageError{fmt.Errorf("--suite has scenarios of its own: leave %s away", args[0])}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "lunamq-bench-rules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var rows []suiteRow
	for i := range rowsOf {
		t := &rowsOf[i]
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d: %s\n", i+1, len(rowsOf), t.title)
		contest, err := f.contestOf(cmd, t, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		result, err := hold(ctx, contest)
		f.endProgress(cmd)
		if err != nil {
			return fmt.Errorf("%s: %w", t.title, err)
		}
		syncs := 0.0
		if t.syncs() {
			if syncs, err = bench.SyncRate(time.Second); err != nil {
				return err
			}
		}
		rows = append(rows, t.judge(result, syncs)...)
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), rows)
	}
	printSuite(cmd.OutOrStdout(), rows, f.markdown)
	return nil
}

// passedOn are the flags of the suite that hold for each of its rows.
var passedOn = []string{"with", "rounds", "quick", "protocol", "duration", "warmup", "settle", "progress"}

// contestOf is the contest of one row, as its own command line would have it.
func (f *compareFlags) contestOf(cmd *cobra.Command, t *target, dir string) (*bench.Contest, error) {
	if t.rules != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "rules.lua"), []byte(t.rules()), 0o600); err != nil {
			return nil, err
		}
	}
	if t.small != "" {
		return f.contestOfTwo(cmd, t)
	}
	return f.contestOfRow(cmd, strings.Fields(strings.ReplaceAll(t.args, "{rules}", dir)))
}

// contestOfTwo is between this program and itself with less to do.
func (f *compareFlags) contestOfTwo(cmd *cobra.Command, t *target) (*bench.Contest, error) {
	withItself := []string{"--with", "lunamq"}
	c, err := f.contestOfRow(cmd, append(strings.Fields(t.args), withItself...))
	if err != nil {
		return nil, err
	}
	small, err := f.contestOfRow(cmd, append(strings.Fields(t.small), withItself...))
	if err != nil {
		return nil, err
	}
	if t.tenth {
		if !cmd.Flags().Changed("duration") && !f.quick {
			c.Duration, small.Duration = time.Minute, time.Minute
		}
		c.Warmup = 9 * c.Duration
	}
	c.Brokers[1].Name, c.Brokers[1].Options = t.name, &small.Options
	return c, nil
}

// contestOfRow is what a command line says, and this one of each row.
func (f *compareFlags) contestOfRow(cmd *cobra.Command, args []string) (*bench.Contest, error) {
	var row compareFlags
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	row.add(flags)
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	for _, name := range passedOn {
		if from, to := cmd.Flags().Lookup(name), flags.Lookup(name); from.Changed && !to.Changed {
			if err := passOn(flags, from, to); err != nil {
				return nil, err
			}
		}
	}
	return row.contest(cmd, flags, args[0])
}

// passOn gives one flag the value of another; lists have a way of their own.
func passOn(flags *pflag.FlagSet, from, to *pflag.Flag) error {
	list, ok := from.Value.(pflag.SliceValue)
	if !ok {
		return flags.Set(to.Name, from.Value.String())
	}
	return to.Value.(pflag.SliceValue).Replace(list.GetSlice())
}

// syncs says whether the disk's syncs decide about a goal.
func (t *target) syncs() bool {
	return slices.ContainsFunc(t.goals, func(g goal) bool { return g.inflight > 0 })
}

// judge compares what came of it with the goals, on a disk of so many syncs a second.
func (t *target) judge(c *bench.Comparison, syncs float64) []suiteRow {
	var rows []suiteRow
	own, other := c.Brokers[0].Phases, c.Brokers[len(c.Brokers)-1].Phases
	for _, g := range t.goals {
		for k := range own {
			if own[k].Phase != g.phase {
				continue
			}
			r := suiteRow{Title: t.title, Command: t.command(), What: g.what, Reference: c.Reference,
				Own: g.value(&own[k].Values), Other: g.value(&other[k].Values), Ratio: g.value(&own[k].Ratios),
				AtMost: g.atMost, Alone: g.alone, text: g.text}
			if len(t.goals) > 1 && own[k].Phase != "messages" {
				r.What = g.phase + ", " + g.what
			}
			measured := r.Ratio
			if g.alone {
				measured = r.Own
			}
			r.Met = measured > 0 && measured <= g.atMost
			if g.atLeast > 0 {
				r.Syncs = syncs
				r.AtLeast = min(g.atLeast, syncShare*syncs*float64(g.inflight)/r.Other)
				r.Met = measured >= r.AtLeast && r.Other > 0
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// command measures this row alone, or all of its suite where it has no line of its own.
func (t *target) command() string {
	if t.small != "" {
		return "lunamq bench compare --suite scaling"
	}
	return "lunamq bench compare " + t.args
}

// printSuite prints all rows, with what was aimed at.
func printSuite(w io.Writer, rows []suiteRow, markdown bool) {
	out := [][]string{{"scenario", "measured", "LunaMQ", "other", "ratio", "target", "met"}}
	for _, r := range rows {
		bound := "≤ " + ratioText(r.AtMost)
		switch {
		case r.AtLeast > 0:
			bound = fmt.Sprintf("≥ %s (%.0f syncs/s)", ratioText(r.AtLeast), r.Syncs)
		case r.Alone:
			bound = "≤ " + r.text(r.AtMost)
		}
		met := "no"
		if r.Met {
			met = "yes"
		}
		out = append(out, []string{r.Title, r.What, r.text(r.Own), r.text(r.Other) + " (" + r.Reference + ")", ratioText(r.Ratio), bound, met})
	}
	tableAs(w, out, markdown)
}
