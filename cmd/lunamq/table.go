package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows in columns, the first one being the heads.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// facts prints pairs of a name and what there is to say.
func facts(w io.Writer, pairs ...[2]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", p[0], strings.ReplaceAll(p[1], "\n", "\n\t"))
		}
	}
	t.Flush()
}

// bytesText is a number of bytes in the units of config.toml.
func bytesText(n int64) string {
	const units = "KMGTP"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	x, unit := float64(n)/(1<<10), 0
	for x >= 1<<10 && unit < len(units)-1 {
		x, unit = x/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", x, units[unit])
}

// timeText is a duration with two or three digits.
func timeText(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return d.String()
	case d < time.Millisecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Second).String()
}

// momentText is a time as the clock on the wall here shows it.
func momentText(t time.Time) string { return t.Local().Format(time.DateTime) }

// countsText is "deny 3, pass 12", without those that are 0; otherwise when none is left.
func countsText[N int64 | uint64 | int](counts map[string]N, otherwise string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] != 0 {
			out = append(out, fmt.Sprintf("%s %d", name, counts[name]))
		}
	}
	if len(out) == 0 {
		return otherwise
	}
	return strings.Join(out, ", ")
}
