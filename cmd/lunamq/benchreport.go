package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"lunamq/cmd/lunamq/bench"
)

// printBench prints what a run has found.
func printBench(w io.Writer, r *bench.Result) {
	var load []string
	if r.Publishers > 0 {
		load = append(load, count(r.Publishers, "publisher"))
	}
	if r.Subscribers > 0 {
		load = append(load, count(r.Subscribers, "subscriber"))
	}
	load = append(load, fmt.Sprintf("QoS %d", r.QoS))
	for _, n := range []struct {
		n    int
		text string
	}{{r.Size, "%d bytes"}, {r.Burst, "%d a write"}, {r.Window, "window %d"}} {
		if n.n > 0 {
			load = append(load, fmt.Sprintf(n.text, n.n))
		}
	}
	load = append(load, "MQTT "+r.Protocol)
	fmt.Fprintf(w, "%s at %s: %s\n\n", r.Scenario, r.URL, strings.Join(load, ", "))
	rows := [][]string{{"phase", "done", "per second", "p50", "p99", "p99.9", "broker CPU each", "cores", "RSS", "RSS per client", "threads", "own CPU each"}}
	for i := range r.Phases {
		rows = append(rows, phaseRow(&r.Phases[i]))
	}
	table(w, rows)
	for i := range r.Phases {
		if text := troubleText(&r.Phases[i]); text != "" {
			fmt.Fprintf(w, "\n%s: %s\n", r.Phases[i].Name, text)
		}
	}
}

// phaseRow is one phase; what is not known is empty.
func phaseRow(p *bench.Phase) []string {
	row := make([]string, 12)
	row[0], row[1], row[2], row[11] = p.Name, fmt.Sprintf("%d %s", p.Done, p.Unit), perSecond(p.Rate), microText(p.OwnCPU)
	if l := p.Latency; l != nil {
		row[3], row[4], row[5] = microText(l.P50), microText(l.P99), microText(l.P999)
	}
	if b := p.Broker; b != nil {
		row[6], row[7], row[8], row[10] = microText(b.CPU), fmt.Sprintf("%.2f", b.Cores), bytesText(b.RSS), fmt.Sprint(b.Threads)
		if b.PerClient != 0 {
			row[9] = bytesText(b.PerClient)
		}
		if b.RSSRest != 0 {
			row[8] += ", rested " + bytesText(b.RSSRest)
		}
	}
	return row
}

// troubleText says what did not arrive as it should.
func troubleText(p *bench.Phase) string {
	return countsText(map[string]int64{"lost": p.Lost, "twice": p.Duplicated, "out of order": p.Reordered,
		"not of this run": p.Foreign, "connections failed": p.Failed}, "")
}

// microText is a number of microseconds; nothing when there is none.
func microText(us float64) string {
	switch {
	case us == 0:
		return ""
	case us < 10:
		return fmt.Sprintf("%.3f µs", us)
	case us < 1000:
		return fmt.Sprintf("%.1f µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return time.Duration(us * 1e3).Round(10 * time.Millisecond).String()
}

// perSecond is a rate; nothing when there is none.
func perSecond(rate float64) string {
	switch {
	case rate == 0:
		return ""
	case rate < 100:
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// printComparison prints the medians of each broker, and their ratios.
func printComparison(w io.Writer, c *bench.Comparison, markdown bool) {
	fmt.Fprintf(w, "%s: medians of %s, ratios to %s\n\n", c.Scenario, count(c.Rounds, "round"), c.Reference)
	rows := [][]string{{"phase", "broker", "per second", "", "broker CPU each", "", "p50", "", "p99", "", "RSS", "", "RSS per client", "", "own CPU each"}}
	if len(c.Brokers) > 0 {
		for k := range c.Brokers[0].Phases {
			for _, b := range c.Brokers {
				rows = append(rows, medianRow(b.Name, &b.Phases[k]))
			}
		}
	}
	tableAs(w, rows, markdown)
}

// tableAs prints a table for a terminal, or for a page in Markdown.
func tableAs(w io.Writer, rows [][]string, markdown bool) {
	if !markdown {
		table(w, rows)
		return
	}
	for i, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat("---|", len(row)))
		}
	}
}

func medianRow(name string, m *bench.Medians) []string {
	v, r := m.Values, m.Ratios
	return []string{m.Phase, name,
		perSecond(v.Rate), ratioText(r.Rate),
		microText(v.CPU), ratioText(r.CPU),
		microText(v.P50), ratioText(r.P50),
		microText(v.P99), ratioText(r.P99),
		sizeText(v.RSS), ratioText(r.RSS),
		sizeText(v.PerClient), ratioText(r.PerClient),
		microText(v.OwnCPU)}
}

func ratioText(r float64) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf("× %.3g", r)
}

// sizeText is a number of bytes; nothing when there is none.
func sizeText(n float64) string {
	if n == 0 {
		return ""
	}
	return bytesText(int64(n))
}
