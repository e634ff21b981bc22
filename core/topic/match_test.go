package topic

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// matchCases are those of both specifications, section 4.7.
var matchCases = []struct {
	rule, filter, name string
	want               bool
}{
	{"4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1", true},
	{"4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
	{"4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
	{"4.7.1.2", "sport/tennis/player1/#", "sport/tennis/player2", false},
	{"4.7.1.2", "sport/#", "sport", true},
	{"4.7.1.2", "sport/#", "sports", false},
	{"4.7.1.2", "#", "a", true},
	{"4.7.1.2", "#", "/", true},
	{"4.7.1.2", "#", "a/b/c", true},
	{"4.7.1.3", "sport/tennis/+", "sport/tennis/player1", true},
	{"4.7.1.3", "sport/tennis/+", "sport/tennis/player2", true},
	{"4.7.1.3", "sport/tennis/+", "sport/tennis/player1/ranking", false},
	{"4.7.1.3", "sport/+", "sport", false},
	{"4.7.1.3", "sport/+", "sport/", true},
	{"4.7.1.3", "+/tennis/#", "sport/tennis", true},
	{"4.7.1.3", "+/tennis/#", "sport/golf", false},
	{"4.7.1.3", "sport/+/player1", "sport/tennis/player1", true},
	{"4.7.1.3", "+/+", "/finance", true},
	{"4.7.1.3", "/+", "/finance", true},
	{"4.7.1.3", "+", "/finance", false},
	{"MQTT-4.7.2-1", "#", "$SYS/x", false},
	{"MQTT-4.7.2-1", "+/monitor/Clients", "$SYS/monitor/Clients", false},
	{"MQTT-4.7.2-1", "+/#", "$SYS", false},
	{"MQTT-4.7.2-1", "$SYS/#", "$SYS/x", true},
	{"MQTT-4.7.2-1", "$SYS/#", "$SYS", true},
	{"MQTT-4.7.2-1", "$SYS/monitor/+", "$SYS/monitor/Clients", true},
	{"MQTT-4.7.2-1", "a/#", "a/$b", true},
	{"MQTT-4.7.2-1", "a/+", "a/$b", true},
	{"MQTT-4.7.3-4 case", "ACCOUNTS", "Accounts", false},
	{"MQTT-4.7.3-4 slash", "/finance", "finance", false},
	{"MQTT-4.7.3-4 space", "a b", "a b", true},
	{"MQTT-4.7.3-4 not normalised", "\u00c5", "A\u030a", false},
	{"empty levels", "a//b", "a//b", true},
	{"empty levels", "a/+/b", "a//b", true},
	{"empty levels", "a/b", "a//b", false},
	{"empty levels", "a/#", "a/", true},
	{"empty levels", "/#", "/", true},
	{"empty levels", "+/", "a/", true},
	{"empty levels", "a/", "a", false},
	{"MQTT-4.7.3-1", "#", "", false},
	{"MQTT-4.7.3-1", "+", "", false},
	{"MQTT-4.7.3-1", "/#", "", false},
}

func TestMatch(t *testing.T) {
	for _, c := range matchCases {
		if got := Match(c.filter, c.name); got != c.want {
			t.Errorf("%s: Match(%q, %q) = %v", c.rule, c.filter, c.name, got)
		}
	}
}

// The same cases, through both trees.
func TestMatchInTrees(t *testing.T) {
	for _, c := range matchCases {
		f := NewFilters[string, int]()
		f.Set(c.filter, "k", 1)
		if got := len(f.Match(c.name, nil)) == 1; got != c.want {
			t.Errorf("%s: filter %q, name %q: Filters.Match finds %v", c.rule, c.filter, c.name, got)
		}
		if got := len(f.Overlapping(c.name, nil)) == 1; c.name != "" && got != c.want {
			t.Errorf("%s: filter %q, name %q: Filters.Overlapping finds %v", c.rule, c.filter, c.name, got)
		}
		n := NewNames[int]()
		n.Set(c.name, 1)
		got, done := n.Cursor(c.filter).Next(nil, 2)
		if !done || (len(got) == 1) != c.want {
			t.Errorf("%s: filter %q, name %q: Cursor finds %v, done %v", c.rule, c.filter, c.name, got, done)
		}
	}
}

func TestOverlapAndCovers(t *testing.T) {
	for _, c := range []struct {
		a, b            string
		overlap, covers bool // covers: a covers b
	}{
		{"#", "secret/#", true, true},
		{"secret/#", "#", true, false},
		{"secret/#", "secret", true, true},
		{"secret/+", "secret/#", true, false},
		{"a/+", "+/b", true, false},
		{"a/+/c", "a/b/#", true, false},
		{"a/b", "a/c", false, false},
		{"a/#", "a/+/b", true, true},
		{"#", "$SYS/#", false, false},
		{"+/x", "$SYS/x", false, false},
		{"$SYS/#", "$SYS/+", true, true},
		{"$SYS/#", "#", false, false},
		{"+/#", "#", true, true},
		{"#", "+/#", true, true},
		{"/+/#", "/#", true, true},
		{"+/+/#", "/#", true, true},
		{"a/+/#", "a/#", true, false},
		{"+", "/#", false, false},
		{"/#", "+", false, false},
		{"+/+", "/#", true, false},
		{"+/#", "+", true, true},
	} {
		if got := Overlap(c.a, c.b); got != c.overlap {
			t.Errorf("Overlap(%q, %q) = %v", c.a, c.b, got)
		}
		if got := Covers(c.a, c.b); got != c.covers {
			t.Errorf("Covers(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

// allTopics are all topics of up to depth levels from a few.
func allTopics(depth int, levels ...string) (all []string) {
	last := []string{}
	for d := range depth {
		var next []string
		for _, l := range levels {
			if d == 0 {
				next = append(next, l)
			}
			for _, s := range last {
				next = append(next, s+"/"+l)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

func valid(topics []string, check func(string) error) []string {
	return slices.DeleteFunc(topics, func(s string) bool { return check(s) != nil })
}

// plainMatch is Match on slices of levels, word by word as in 4.7.
func plainMatch(filter, name []string) bool {
	if strings.HasPrefix(name[0], "$") && (filter[0] == "#" || filter[0] == "+") {
		return false
	}
	for i, f := range filter {
		if f == "#" {
			return len(name) >= i
		}
		if i >= len(name) || f != "+" && f != name[i] {
			return false
		}
	}
	return len(filter) == len(name)
}

// Overlap and Covers against all small topics: the names have a level more
// than the filters, and a level ("z") that no filter has.
func TestAllSmallTopics(t *testing.T) {
	names := valid(allTopics(4, "", "a", "$s", "z"), CheckName)
	filters := valid(allTopics(3, "", "a", "$s", "+", "#"), CheckFilter)
	if len(names) < 300 || len(filters) < 80 {
		t.Fatalf("only %d names and %d filters", len(names), len(filters))
	}
	matched := make([][]bool, len(filters))
	for i, f := range filters {
		matched[i] = make([]bool, len(names))
		for j, n := range names {
			matched[i][j] = plainMatch(strings.Split(f, "/"), strings.Split(n, "/"))
			if got := Match(f, n); got != matched[i][j] {
				t.Errorf("Match(%q, %q) = %v", f, n, got)
			}
		}
	}
	for i, a := range filters {
		for k, b := range filters {
			overlap, covers := false, true
			for j := range names {
				overlap = overlap || matched[i][j] && matched[k][j]
				covers = covers && (matched[i][j] || !matched[k][j])
			}
			if got := Overlap(a, b); got != overlap {
				t.Errorf("Overlap(%q, %q) = %v", a, b, got)
			}
			if got := Covers(a, b); got != covers {
				t.Errorf("Covers(%q, %q) = %v", a, b, got)
			}
		}
	}
}

// drawTopic draws from few levels, so that topics meet.
func drawTopic(t *rapid.T, label string, levels ...string) string {
	parts := rapid.SliceOfN(rapid.SampledFrom(levels), 1, 5).Draw(t, label)
	if i := slices.Index(parts, "#"); i >= 0 {
		parts = parts[:i+1]
	}
	if s := strings.Join(parts, "/"); s != "" {
		return s
	}
	return "a"
}

func drawName(t *rapid.T) string {
	return drawTopic(t, "name", "", "a", "b", "a!", "$s", "ab")
}

func drawFilter(t *rapid.T) string {
	return drawTopic(t, "filter", "", "a", "b", "a!", "$s", "+", "+", "#")
}

func FuzzMatch(f *testing.F) {
	for _, c := range matchCases {
		f.Add(c.filter, c.name)
	}
	f.Add("a+", "a")
	f.Fuzz(func(t *testing.T, filter, name string) {
		got := Match(filter, name)
		tree := NewFilters[int, int]()
		tree.Set(filter, 1, 1)
		inFilters := len(tree.Match(name, nil)) == 1
		names := NewNames[int]()
		names.Set(name, 1)
		cursor := names.Cursor(filter)
		inNames, _ := cursor.Next(nil, 1)
		if _, done := cursor.Next(nil, 1); !done {
			t.Fatalf("the walk of one name by %q does not end", filter)
		}
		if CheckFilter(filter) != nil || CheckName(name) != nil {
			return // no harm is all that is asked for
		}
		if want := plainMatch(strings.Split(filter, "/"), strings.Split(name, "/")); got != want {
			t.Fatalf("Match(%q, %q) = %v", filter, name, got)
		}
		if inFilters != got || (len(inNames) == 1) != got {
			t.Fatalf("Match(%q, %q) = %v; Filters %v, Cursor %v", filter, name, got, inFilters, inNames)
		}
	})
}

func FuzzOverlap(f *testing.F) {
	f.Add("a/#", "+/b", "a/b")
	f.Add("/#", "+", "a")
	f.Add("#", "$s/+", "$s/a")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		overlap, covers := Overlap(a, b), Covers(a, b)
		tree := NewFilters[int, int]()
		tree.Set(b, 1, 1)
		found := len(tree.Overlapping(a, nil)) == 1
		if CheckFilter(a) != nil || CheckFilter(b) != nil {
			return
		}
		if overlap != Overlap(b, a) || overlap != found {
			t.Fatalf("Overlap(%q, %q) = %v, the other way %v, in the tree %v", a, b, overlap, Overlap(b, a), found)
		}
		if covers && !overlap {
			t.Fatalf("%q covers %q without overlap", a, b)
		}
		if !Covers(a, a) || !Overlap(a, a) {
			t.Fatalf("%q does not cover or overlap itself", a)
		}
		if CheckName(name) != nil {
			return
		}
		inA, inB := Match(a, name), Match(b, name)
		if inA && inB && !overlap || inB && !inA && covers {
			t.Fatalf("%q: in %q %v, in %q %v, overlap %v, covers %v", name, a, inA, b, inB, overlap, covers)
		}
		if !HasWildcard(b) && CheckName(b) == nil && (Match(a, b) != overlap || overlap != covers) {
			t.Fatalf("Match(%q, %q) = %v, overlap %v, covers %v", a, b, Match(a, b), overlap, covers)
		}
	})
}
