package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lunamq/scripting"
)

// scriptsReport is the answer to GET /v1/scripts, and a part of the status.
type scriptsReport struct {
	Dir        string    `json:"dir"`
	OK         bool      `json:"ok"` // the folder holds what runs
	Error      string    `json:"error,omitempty"`
	Generation int       `json:"generation"`
	Hash       string    `json:"hash"`
	DiskHash   string    `json:"disk_hash"` // "" if the folder cannot be read
	Since      time.Time `json:"since"`
	By         string    `json:"by"`

	Scripts     []scriptReport         `json:"scripts"`
	Handlers    []handlerReport        `json:"handlers"`
	Worlds      []scripting.WorldLoad  `json:"worlds"`
	Advice      string                 `json:"advice,omitempty"`
	Generations []scripting.Generation `json:"generations"`
}

// spread is where most calls lie.
type spread struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

func spreadOf(t scripting.Times) spread { return spread{t.Quantile(0.5), t.Quantile(0.99)} }

type scriptReport struct {
	scripting.ScriptCounts
	spread
}

type handlerReport struct {
	scripting.HandlerCounts
	spread
}

// scripts is nil in a broker without rules.
func (p *program) scripts() *scriptsReport {
	if p.engine == nil {
		return nil
	}
	s := p.engine.Status()
	r := &scriptsReport{
		Dir: p.config.Scripting.Dir, OK: s.OK, Error: s.Err, Generation: s.Generation,
		Hash: s.Hash, DiskHash: s.DiskHash, Since: s.Since, By: s.By, Generations: p.engine.Generations(),
	}
	r.Worlds, r.Advice = p.engine.Worlds()
	for _, c := range p.engine.ScriptCounts() {
		r.Scripts = append(r.Scripts, scriptReport{c, spreadOf(c.Times)})
	}
	for _, c := range p.engine.HandlerCounts() {
		r.Handlers = append(r.Handlers, handlerReport{c, spreadOf(c.Times)})
	}
	return r
}

func scriptsCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "scripts",
		Short: "Show the rules of a running broker, and those it can go back to",
		Long: `Show the rules of a running broker: what is in force, whether that is what the
folder holds, what each script has done since, and the generations that are kept for
lunamq rollback, with their hashes, when they came and who brought them.

Times are how long a call held its world: half of the calls, and 99 of 100, took at
most so long. Skipped are the events that fell to on_error without a call: the
handler was paused for overrunning again and again, or their turn did not come.`,
		Example: `  lunamq scripts
  lunamq scripts --data /var/lib/lunamq
  lunamq scripts --json | jq '.generations[] | select(.running)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r *scriptsReport
			if err := f.ask(cmd, "/v1/scripts", nil, &r); err != nil || f.json {
				return err
			}
			if r == nil {
				return errNoFolder
			}
			w := cmd.OutOrStdout()
			facts(w, r.facts()...)
			fmt.Fprintln(w)
			table(w, r.scriptRows())
			fmt.Fprintln(w)
			table(w, r.generationRows())
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// facts are what is in force, and whether it is what it should be.
func (r *scriptsReport) facts() [][2]string {
	folder := r.Dir + ": is in force"
	if !r.OK {
		folder = r.Dir + ": IS NOT IN FORCE"
		if r.DiskHash != "" {
			folder += " (" + short(r.DiskHash) + ")"
		}
	}
	var loads, sizes []string
	some := slices.ContainsFunc(r.Worlds, func(w scripting.WorldLoad) bool { return w.Busy > 0 || w.Waiting > 0 })
	for _, w := range r.Worlds {
		if some {
			loads = append(loads, fmt.Sprintf("%.0f%%", 100*w.Busy))
		}
		if w.Waiting > 0 {
			loads[len(loads)-1] += fmt.Sprintf(" (%d wait)", w.Waiting)
		}
		if w.Memory > 0 || w.Rebuilt > 0 {
			sizes = append(sizes, worldSize(w))
		}
	}
	return [][2]string{
		{"generation", fmt.Sprintf("%d (%s), since %s, by %s", r.Generation, short(r.Hash), momentText(r.Since), r.By)},
		{"folder", folder},
		{"error", r.Error},
		{"worlds busy", strings.Join(loads, " ")},
		{"memory", strings.Join(sizes, "\n")},
		{"paused", strings.Join(r.paused(), "\n")},
		{"advice", r.Advice},
	}
}

// worldSize is what a world takes, and that it grew too large.
func worldSize(w scripting.WorldLoad) string {
	text := fmt.Sprintf("world %d: about %s", w.World, bytesText(w.Memory))
	if w.Memory == 0 {
		text = fmt.Sprintf("world %d", w.World)
	}
	if w.Rebuilt > 0 {
		text += fmt.Sprintf(", rebuilt %s, for it grew too large", times(w.Rebuilt))
	}
	return text
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// paused are the handlers that overran again and again, one a line.
func (r *scriptsReport) paused() (lines []string) {
	for _, h := range r.Handlers {
		if h.Paused != nil {
			lines = append(lines, fmt.Sprintf("%s %s: %v, for it overran again and again", h.By, h.Event, h.Paused))
		}
	}
	return lines
}

// countHeads are the heads of countCells.
var countHeads = []string{"CALLS", "VERDICTS", "ERRORS", "OVERRUNS", "SKIPPED", "P50", "P99"}

func countCells(calls uint64, verdicts map[string]uint64, errors, overruns, skipped uint64, s spread) []string {
	p50, p99 := "-", "-"
	if calls > 0 {
		p50, p99 = timeText(s.P50), timeText(s.P99)
	}
	n := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []string{n(calls), countsText(verdicts, "-"), n(errors), n(overruns), n(skipped), p50, p99}
}

func (r *scriptsReport) scriptRows() [][]string {
	rows := [][]string{append([]string{"SCRIPT", "HANDLERS"}, countHeads...)}
	for _, s := range r.Scripts {
		rows = append(rows, append([]string{s.File, strconv.Itoa(s.Handlers)}, countCells(s.Calls, s.Verdicts, s.Errors, s.Overruns, s.Skipped, s.spread)...))
	}
	return rows
}

// maxRows bounds the handlers that people are shown: those with most calls.
const maxRows = 100

// handlerRows are the handlers, and how many more there are.
func (r *scriptsReport) handlerRows() (rows [][]string, more int) {
	shown := r.Handlers
	if more = len(shown) - maxRows; more > 0 {
		shown = slices.SortedStableFunc(slices.Values(shown), func(a, b handlerReport) int {
			switch {
			case a.Calls > b.Calls:
				return -1
			case a.Calls < b.Calls:
				return 1
			}
			return 0
		})[:maxRows]
	}
	rows = append(rows, append([]string{"HANDLER", "EVENT", "FILTER"}, countHeads...))
	for _, h := range shown {
		filter := h.Filter
		if filter == "" {
			filter = "-"
		}
		rows = append(rows, append([]string{h.By, h.Event, filter}, countCells(h.Calls, h.Verdicts, h.Errors, h.Overruns, h.Skipped, h.spread)...))
	}
	return rows, max(more, 0)
}

func (r *scriptsReport) generationRows() [][]string {
	rows := [][]string{{"GENERATION", "HASH", "FILES", "LOADED", "BY", "STATE"}}
	for _, g := range r.Generations {
		state := "kept"
		switch {
		case g.Running:
			state = "running"
		case g.Barred != "":
			state = "gone back from, by " + g.Barred
		}
		rows = append(rows, []string{strconv.Itoa(g.Number), short(g.Hash), strconv.Itoa(len(g.Files)), momentText(g.Loaded), g.By, state})
	}
	return rows
}

// printHandlers prints the table of handlers.
func (r *scriptsReport) printHandlers(w io.Writer) {
	rows, more := r.handlerRows()
	table(w, rows)
	if more > 0 {
		fmt.Fprintf(w, "and %d more with fewer calls (--json has all)\n", more)
	}
}
