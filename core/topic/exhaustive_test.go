package topic

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Levels that are neighbours in every order: "!" is less than '/', and "a!" is
// between "a" and what is below "a" where bytes alone decide.
var (
	smallNames   = valid(allTopics(3, "", "a", "a!", "ab", "$s"), CheckName)
	smallFilters = valid(allTopics(3, "", "a", "a!", "$s", "+", "#"), CheckFilter)
)

// Every small filter walks trees of small names: all of them, and a part.
func TestCursorAllSmallTopics(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for keep := range 8 {
		tree, there := NewNames[string](), []string{}
		for _, name := range smallNames {
			if random.IntN(8) >= keep {
				tree.Set(name, name)
				there = append(there, name)
			}
		}
		for _, filter := range smallFilters {
			var want []string
			for _, name := range there {
				if Match(filter, name) {
					want = append(want, name)
				}
			}
			got, _ := walk(t, tree.Cursor(filter), 3)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%q walks %q, want %q", filter, got, want)
			}
		}
	}
}

// Every small name and filter meets trees of small filters: all of them, and a
// part.
func TestFiltersAllSmallTopics(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for keep := range 8 {
		tree, there := NewFilters[int, int](), []int{}
		for i, filter := range smallFilters {
			if random.IntN(8) >= keep {
				tree.Set(filter, 0, i)
				there = append(there, i)
			}
		}
		checkShape(t, tree)
		check := func(what string, got []int, wanted func(filter string) bool) {
			t.Helper()
			var want []int
			for _, i := range there {
				if wanted(smallFilters[i]) {
					want = append(want, i)
				}
			}
			if !slices.Equal(sorted(got), want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		for _, name := range smallNames {
			check("Match "+name, tree.Match(name, nil), func(f string) bool { return Match(f, name) })
		}
		for _, filter := range smallFilters {
			check("Overlapping "+filter, tree.Overlapping(filter, nil), func(f string) bool { return Overlap(f, filter) })
		}
	}
}
