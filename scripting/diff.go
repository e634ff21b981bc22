package scripting

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// What a difference shows at most: lines compared, bytes around the first
// difference of two strings, equal lines around a different one.
const (
	maxDiffLines = 400
	stringAround = 24
	linesAround  = 2
)

// difference says how got differs from want, which it does.
func difference(want, got lua.LValue) string {
	a, b := lines(want), lines(got)
	if len(a) > 1 || len(b) > 1 {
		return "differs from what was expected (- expected, + got):\n" + lineDiff(a, b)
	}
	out := fmt.Sprintf("expected %s\n     got %s", clipTo(a[0], 400), clipTo(b[0], 400))
	ws, ok1 := want.(lua.LString)
	gs, ok2 := got.(lua.LString)
	if ok1 && ok2 && min(len(ws), len(gs)) > stringAround {
		out += "\n" + stringDifference(string(ws), string(gs))
	}
	return out
}

// stringDifference shows where two strings begin to differ.
func stringDifference(want, got string) string {
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	from := max(at-stringAround, 0)
	for from > 0 && !utf8.RuneStart(want[from]) {
		from--
	}
	show := func(s string) string {
		if at >= len(s) {
			return "…" + quote(s[from:]) + " ends there"
		}
		return "…" + quote(s[from:min(at+stringAround, len(s))]) + "…"
	}
	return fmt.Sprintf("they differ from byte %d on (of %d expected, %d got):\n  - %s\n  + %s", at+1, len(want), len(got), show(want), show(got))
}

// lineDiff shows two texts as one, by their longest common subsequence.
func lineDiff(a, b []string) string {
	a, b = a[:min(len(a), maxDiffLines)], b[:min(len(b), maxDiffLines)]
	common := make([][]int, len(a)+1) // lines that a[i:] and b[j:] have in common
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return strings.Join(nearChanges(out), "\n")
}

// nearChanges leaves out equal lines that are far from a different one.
func nearChanges(diff []string) (out []string) {
	changed := func(l string) bool { return l[0] != ' ' }
	for i, l := range diff {
		if slices.ContainsFunc(diff[max(i-linesAround, 0):min(i+linesAround+1, len(diff))], changed) {
			out = append(out, l)
		} else if len(out) == 0 || out[len(out)-1] != "  …" {
			out = append(out, "  …")
		}
	}
	return out
}

// equal compares plain values: tables by what is in them.
func equal(a, b lua.LValue, depth int) bool {
	x, ok1 := a.(*lua.LTable)
	y, ok2 := b.(*lua.LTable)
	if !ok1 || !ok2 {
		return a == b
	}
	if x == y {
		return true
	}
	if depth == maxLiteralDepth {
		return false
	}
	same, n := true, 0
	x.ForEach(func(k, v lua.LValue) {
		n++
		same = same && equal(v, y.RawGet(k), depth+1)
	})
	y.ForEach(func(lua.LValue, lua.LValue) { n-- })
	return same && n == 0
}
