package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// entry is what stands under a filter and a key in the plain list that the
// tree is compared with.
type entry struct {
	filter string
	key    int
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkShape verifies what holds for every node of the tree, and that the
// values are as many as Len says.
func checkShape[K comparable, V any](t tester, tree *Filters[K, V]) {
	t.Helper()
	count := 0
	var check func(n *node[K, V], prefix string)
	check = func(n *node[K, V], prefix string) {
		count += int(n.count)
		if n != &tree.root && n.count == 0 && n.degree() < 2 {
			t.Fatalf("node %q: no values and %d children", prefix+n.label, n.degree())
		}
		if n.kids == nil {
			return
		}
		if n.degree() == 0 {
			t.Fatalf("node %q keeps an empty set of children", prefix+n.label)
		}
		if n.kids.many != nil {
			checkTable(t, n.kids.many, hashOf)
		}
		for _, c := range append(slices.Collect(n.kids.literals), n.kids.plus, n.kids.hash) {
			if c != nil {
				check(c, prefix+n.label+"/")
			}
		}
	}
	check(&tree.root, "")
	if count != tree.Len() {
		t.Fatalf("%d values in the tree, Len is %d", count, tree.Len())
	}
}

func sorted(s []int) []int {
	slices.Sort(s)
	return s
}

func TestFiltersAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, list := NewFilters[int, int](), map[entry]int{}
		values := 0
		find := func(matches func(filter string) bool) (found []int) {
			for e, v := range list {
				if matches(e.filter) {
					found = append(found, v)
				}
			}
			return sorted(found)
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				e := entry{drawFilter(t), rapid.IntRange(1, 12).Draw(t, "key")}
				values++
				before := tree.Generation()
				old, replaced := tree.Set(e.filter, e.key, values)
				want, there := list[e]
				if old != want || replaced != there || tree.Generation() == before {
					t.Fatalf("Set(%v) = %v, %v, want %v, %v", e, old, replaced, want, there)
				}
				list[e] = values
			},
			"delete": func(t *rapid.T) {
				e := entry{drawFilter(t), rapid.IntRange(1, 12).Draw(t, "key")}
				for known := range list { // mostly what is there
					if rapid.Bool().Draw(t, "known") {
						e = known
					}
					break
				}
				before := tree.Generation()
				old, existed := tree.Delete(e.filter, e.key)
				want, there := list[e]
				if old != want || existed != there || existed == (tree.Generation() == before) {
					t.Fatalf("Delete(%v) = %v, %v, want %v, %v", e, old, existed, want, there)
				}
				delete(list, e)
			},
			"get": func(t *rapid.T) {
				e := entry{drawFilter(t), rapid.IntRange(1, 12).Draw(t, "key")}
				v, ok := tree.Get(e.filter, e.key)
				if want, there := list[e]; v != want || ok != there {
					t.Fatalf("Get(%v) = %v, %v, want %v, %v", e, v, ok, want, there)
				}
			},
			"match": func(t *rapid.T) {
				name := drawName(t)
				want := find(func(f string) bool { return Match(f, name) })
				if got := sorted(tree.Match(name, nil)); !slices.Equal(got, want) {
					t.Fatalf("Match(%q) = %v, want %v", name, got, want)
				}
			},
			"overlapping": func(t *rapid.T) {
				filter := drawFilter(t)
				want := find(func(f string) bool { return Overlap(f, filter) })
				if got := sorted(tree.Overlapping(filter, nil)); !slices.Equal(got, want) {
					t.Fatalf("Overlapping(%q) = %v, want %v", filter, got, want)
				}
			},
			"": func(t *rapid.T) {
				if tree.Len() != len(list) {
					t.Fatalf("Len() = %d, want %d", tree.Len(), len(list))
				}
				checkShape(t, tree)
			},
		})
	})
}

// Nodes that are large and become small again, with values and children taken
// in an order of their own.
func TestFiltersLargeNodes(t *testing.T) {
	const many = 20_000
	perm := rand.New(rand.NewPCG(1, 2)).Perm(many)
	for _, c := range []struct {
		what string
		at   func(i int) (filter string, key int)
	}{
		{"children", func(i int) (string, int) { return "a/" + strconv.Itoa(i), 0 }},
		{"values", func(i int) (string, int) { return "a/b", i }},
		{"grandchildren", func(i int) (string, int) { return "a/" + strconv.Itoa(i/2) + "/+/" + strconv.Itoa(i), 0 }},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree := NewFilters[int, int]()
			for i := range many {
				filter, key := c.at(i)
				tree.Set(filter, key, i)
			}
			checkShape(t, tree)
			for done, i := range perm {
				filter, key := c.at(i)
				if v, ok := tree.Get(filter, key); !ok || v != i {
					t.Fatalf("Get(%q, %d) = %d, %v", filter, key, v, ok)
				}
				if v, ok := tree.Delete(filter, key); !ok || v != i {
					t.Fatalf("Delete(%q, %d) = %d, %v", filter, key, v, ok)
				}
				if _, ok := tree.Get(filter, key); ok {
					t.Fatalf("Get(%q, %d) finds what was deleted", filter, key)
				}
				if left := many - done - 1; left%4999 == 0 || left == shrinkLen || left < 12 {
					checkShape(t, tree)
					if got := len(tree.Overlapping("#", nil)); got != left {
						t.Fatalf("%d values are left, want %d", got, left)
					}
				}
			}
			if tree.root.kids != nil {
				t.Fatal("the empty tree has nodes")
			}
		})
	}
}

// CVE-2019-11779: topics of as many levels as fit. The tree must hold them
// without a node for each level and match them without a stack for each.
func TestFiltersDeep(t *testing.T) {
	slashes := strings.Repeat("/", 65534)
	pluses := strings.Repeat("+/", 32767) + "+"
	tree := NewFilters[string, string]()
	for _, f := range []string{slashes, slashes[:32767], pluses, slashes[1:] + "#", slashes[:30000] + "a", "#"} {
		tree.Set(f, "k", f)
	}
	checkShape(t, tree)
	for name, want := range map[string]int{
		slashes:           3, // itself, the one that ends in #, and #
		slashes[:32767]:   3, // itself, the pluses, and #
		slashes[:65533]:   2,
		slashes[:30000]:   1,
		"a" + slashes[1:]: 1,
	} {
		if got := tree.Match(name, nil); len(got) != want {
			t.Errorf("%d slashes: %d filters match, want %d", len(name), len(got), want)
		}
		if got := tree.Overlapping(name, nil); len(got) != want {
			t.Errorf("%d slashes: %d filters overlap, want %d", len(name), len(got), want)
		}
	}
	for _, f := range tree.Overlapping("#", nil) {
		tree.Delete(f, "k")
		checkShape(t, tree)
	}
	if tree.Len() != 0 || tree.root.kids != nil {
		t.Errorf("%d filters are left", tree.Len())
	}
}

// Filters of + and a in every arrangement under a name of a's: each node is
// visited once, so the visits are no more than the nodes.
func TestFiltersBranching(t *testing.T) {
	const levels = 14
	tree := NewFilters[int, int]()
	for bits := range 1 << levels {
		parts := make([]string, levels)
		for i := range parts {
			parts[i] = string("a+"[bits>>i&1])
		}
		tree.Set(strings.Join(parts, "/"), 0, bits)
	}
	got := sorted(tree.Match(strings.TrimSuffix(strings.Repeat("a/", levels), "/"), nil))
	if len(got) != 1<<levels || len(slices.Compact(got)) != 1<<levels {
		t.Fatalf("%d values, want each of %d once", len(got), 1<<levels)
	}
}

// Strings may be lent: the tree must not see them change.
func TestFiltersKeepCopies(t *testing.T) {
	tree := NewFilters[int, int]()
	for _, f := range []string{"a/b/c", "a/b/d", "a/+/c", "a/b"} {
		lent := []byte(f)
		tree.Set(lentString(lent), 1, 1)
		clear(lent)
	}
	if got := len(tree.Match("a/b/c", nil)); got != 2 {
		t.Errorf("%d match, want 2", got)
	}
	names := NewNames[int]()
	lent := []byte("a/b")
	names.Set(lentString(lent), 1)
	clear(lent)
	if _, ok := names.Get("a/b"); !ok {
		t.Error("the name is gone")
	}
}

// What a filter costs: see Filters.
func TestNodeSize(t *testing.T) {
	if size := unsafe.Sizeof(node[*int, *int]{}); size > 56 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("a node takes %d bytes, want 56", size)
	}
	for l, want := range map[int]float64{0: 1, 1: 1, 8: 1, 9: 1, 24: 1, 25: 1, 40: 1, 41: 2, 65535: 2} {
		label := strings.Repeat("a", l)
		var n *node[*int, *int]
		if got := testing.AllocsPerRun(10, func() { n = newNode[*int, *int](label) }); got != want {
			t.Errorf("a node with a label of %d bytes: %v allocations, want %v", l, got, want)
		}
		if n.label != label {
			t.Errorf("the label of %d bytes is %q", l, n.label)
		}
	}
}

func TestFiltersConcurrently(t *testing.T) {
	tree := NewFilters[int, string]()
	tree.Set("fixed/#", -1, "fixed/#")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				f := fmt.Sprintf("fixed/%d/+", i%37)
				tree.Set(f, g, f)
				if v, ok := tree.Get(f, g); !ok || v != f {
					t.Errorf("Get(%q, %d) = %q, %v", f, g, v, ok)
				}
				if i%3 == 0 {
					tree.Delete(f, g)
				}
			}
		})
		wg.Go(func() {
			var dst []string
			for i := range 500 {
				name := fmt.Sprintf("fixed/%d/x", i%37)
				before := tree.Generation()
				dst = tree.Match(name, dst[:0])
				if !slices.Contains(dst, "fixed/#") {
					t.Errorf("Match(%q) = %q", name, dst)
				}
				for _, f := range tree.Overlapping("fixed/+/+", dst[:0]) {
					if !Overlap(f, "fixed/+/+") {
						t.Errorf("%q does not overlap", f)
					}
				}
				if tree.Generation() < before || tree.Len() < 1 {
					t.Error("generation or length went back")
				}
			}
		})
	}
	wg.Wait()
	checkShape(t, tree)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	tree := NewFilters[string, int]()
	for i := range 1000 {
		tree.Set(fmt.Sprintf("site/%d/+/temp", i), "k", i)
	}
	for i, f := range []string{"#", "+/+/+/+", "site/#", "site/+/x/temp", "+/7/#", "site/7/x/temp"} {
		tree.Set(f, "k", 1000+i)
	}
	names := NewNames[int]()
	for i := range 1000 {
		names.Set(fmt.Sprintf("site/%d/temp", i), i)
	}
	dst := make([]int, 0, 16)
	deep := strings.Repeat("/", 65534)
	for what, f := range map[string]func(){
		"Match":         func() { Match("site/+/x/#", "site/7/x/temp") },
		"Match, deep":   func() { Match(deep, deep) },
		"Overlap":       func() { Overlap("site/+/x/#", "+/7/x/temp") },
		"Covers":        func() { Covers("#", "site/#") },
		"CheckName":     func() { _ = CheckName("site/7/x/temp") },
		"CheckFilter":   func() { _ = CheckFilter("site/#/x/temp") },
		"Levels":        func() { Levels("a/b/c") },
		"Level":         func() { Level("a/b/c", 3) },
		"SplitShare":    func() { SplitShare("$share/g/a/b") },
		"Filters.Match": func() { dst = tree.Match("site/7/x/temp", dst[:0]) },
		"Filters.Get":   func() { tree.Get("site/7/+/temp", "k") },
		"Names.Get":     func() { names.Get("site/7/temp") },
		"Names.Set":     func() { names.Set("site/7/temp", 7) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	if len(dst) != 7 {
		t.Errorf("%d values, want 7", len(dst))
	}
}
