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

// lentString is a string whose bytes the caller may change.
func lentString(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// checkBranches verifies the B+ tree: order, separators, fill, equal depth, the
// chain of leaves.
func checkBranches[V any](t tester, tree *Names[V]) {
	t.Helper()
	var leaves []*branch[V]
	depths := map[int]bool{}
	var check func(b *branch[V], depth int)
	check = func(b *branch[V], depth int) {
		if len(b.keys) > maxKeys || b != tree.root && len(b.keys) < minKeys {
			t.Fatalf("a branch has %d keys", len(b.keys))
		}
		if !slices.IsSorted(b.keys) {
			t.Fatalf("keys are not in order: %q", b.keys)
		}
		if len(b.kids) == 0 {
			if len(b.vals) != len(b.keys) {
				t.Fatalf("%d values for %d keys", len(b.vals), len(b.keys))
			}
			leaves = append(leaves, b)
			depths[depth] = true
			return
		}
		if len(b.kids) != len(b.keys)+1 {
			t.Fatalf("%d kids for %d keys", len(b.kids), len(b.keys))
		}
		for i, sep := range b.keys {
			if low, high := b.kids[i].lastKey(), b.kids[i+1].firstKey(); low >= sep || sep > high {
				t.Fatalf("%q does not separate %q and %q", sep, low, high)
			}
		}
		for _, kid := range b.kids {
			check(kid, depth+1)
		}
	}
	check(tree.root, 0)
	if len(depths) != 1 {
		t.Fatalf("leaves at depths %v", depths)
	}
	count := 0
	for i, leaf := range leaves {
		count += len(leaf.keys)
		if i+1 < len(leaves) && leaf.next != leaves[i+1] || i+1 == len(leaves) && leaf.next != nil {
			t.Fatalf("leaf %d of %d: the chain is broken", i, len(leaves))
		}
	}
	if count != tree.Len() {
		t.Fatalf("%d names in the tree, Len is %d", count, tree.Len())
	}
}

// walk is all that a cursor hands out.
func walk[V any](t tester, c *Cursor[V], n int) (all []V, calls int) {
	t.Helper()
	for {
		before := len(all)
		var done bool
		all, done = c.Next(all, n)
		calls++
		if got := len(all) - before; got > n {
			t.Fatalf("Next handed out %d, want at most %d", got, n)
		}
		if done {
			return all, calls
		}
	}
}

// A cursor and the map that its tree is compared with: what it must have
// handed out in the end, what it did, and what was there for some time only.
type openCursor struct {
	filter string
	cursor *Cursor[string]
	must   map[string]bool
	got    map[string]bool
	done   bool
}

func TestNamesAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, plain := NewNames[string](), map[string]string{}
		var open []*openCursor
		begin := func(filter string) *openCursor {
			c := &openCursor{filter: filter, cursor: tree.Cursor(filter), must: map[string]bool{}, got: map[string]bool{}}
			for name := range plain {
				c.must[name] = Match(filter, name)
			}
			return c
		}
		next := func(t *rapid.T, c *openCursor, n int) {
			var out []string
			out, c.done = c.cursor.Next(nil, n)
			for _, name := range out {
				if c.got[name] || plain[name] == "" || !Match(c.filter, name) {
					t.Fatalf("%q: handed out %q, before %v, there %q", c.filter, name, c.got[name], plain[name])
				}
				c.got[name] = true
			}
			for name, must := range c.must {
				if c.done && must && !c.got[name] {
					t.Fatalf("%q: %q was never handed out", c.filter, name)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name := drawName(t)
				old, replaced := tree.Set(name, name)
				if old != plain[name] || replaced != (old != "") {
					t.Fatalf("Set(%q) = %q, %v", name, old, replaced)
				}
				plain[name] = name
			},
			"set many": func(t *rapid.T) {
				prefix := drawName(t)
				for i := range rapid.IntRange(1, 200).Draw(t, "how many") {
					name := prefix + "/" + strconv.Itoa(i*7919%200)
					tree.Set(name, name)
					plain[name] = name
				}
			},
			"delete": func(t *rapid.T) {
				name := drawName(t)
				old, existed := tree.Delete(name)
				if old != plain[name] || existed != (old != "") {
					t.Fatalf("Delete(%q) = %q, %v", name, old, existed)
				}
				delete(plain, name)
				for _, c := range open {
					delete(c.must, name)
				}
			},
			"delete many": func(t *rapid.T) {
				names := make([]string, 0, len(plain))
				for name := range plain {
					names = append(names, name)
				}
				slices.Sort(names)
				step := rapid.IntRange(1, 5).Draw(t, "each")
				for i := 0; i < len(names); i += step {
					if old, existed := tree.Delete(names[i]); old != names[i] || !existed {
						t.Fatalf("Delete(%q) = %q, %v", names[i], old, existed)
					}
					delete(plain, names[i])
					for _, c := range open {
						delete(c.must, names[i])
					}
				}
			},
			"get": func(t *rapid.T) {
				name := drawName(t)
				if v, ok := tree.Get(name); v != plain[name] || ok != (v != "") {
					t.Fatalf("Get(%q) = %q, %v", name, v, ok)
				}
			},
			"walk": func(t *rapid.T) {
				for c := begin(drawFilter(t)); !c.done; {
					next(t, c, rapid.IntRange(1, 50).Draw(t, "n"))
				}
			},
			"open": func(t *rapid.T) {
				open = append(open, begin(drawFilter(t)))
			},
			"next": func(t *rapid.T) {
				for _, c := range open {
					next(t, c, rapid.IntRange(0, 5).Draw(t, "n"))
				}
			},
			"": func(t *rapid.T) {
				if tree.Len() != len(plain) {
					t.Fatalf("Len() = %d, want %d", tree.Len(), len(plain))
				}
				checkBranches(t, tree)
			},
		})
		for _, c := range open {
			for !c.done {
				next(t, c, 10)
			}
		}
	})
}

// Growing and shrinking through every size, in order and not.
func TestNamesManySizes(t *testing.T) {
	const many = 20_000
	up := make([]int, many)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	orders := map[string][]int{"up": up, "down": down, "mixed": rand.New(rand.NewPCG(3, 4)).Perm(many)}
	for in, insert := range orders {
		for out, remove := range orders {
			t.Run(in+" "+out, func(t *testing.T) {
				tree := NewNames[int]()
				for _, i := range insert {
					tree.Set(fmt.Sprintf("a/%05d", i), i)
				}
				checkBranches(t, tree)
				if got, _ := walk(t, tree.Cursor("a/+"), many); !slices.Equal(got, up) {
					t.Fatal("not all that was set is found")
				}
				for done, i := range remove {
					if v, ok := tree.Delete(fmt.Sprintf("a/%05d", i)); !ok || v != i {
						t.Fatalf("Delete(%d) = %d, %v", i, v, ok)
					}
					if done%1999 == 0 {
						checkBranches(t, tree)
					}
				}
				if tree.Len() != 0 || len(tree.root.kids) != 0 {
					t.Fatal("the tree is not empty")
				}
			})
		}
	}
}

// The levels of names in order: a level, all below it, then the next level,
// also where bytes less than '/' would say otherwise.
func TestKeyOrder(t *testing.T) {
	want := []string{"", "/", "/a", "\x00", "\x01", "!", "$", "$/a", "+", ".", "a", "a/", "a/\x00", "a/b", "a\x00", "a!", "a.", "a0", "b"}
	rapid.Check(t, func(t *rapid.T) {
		got := rapid.Permutation(want).Draw(t, "topics")
		slices.SortFunc(got, func(a, b string) int {
			return strings.Compare(string(appendKey(nil, a)), string(appendKey(nil, b)))
		})
		if !slices.Equal(got, want) {
			t.Fatalf("got %q", got)
		}
	})
}

// A walk looks at what the filter matches, and at one name more for each turn
// it takes, not at what lies between: 200 000 names are here, and a call looks
// at stepBudget.
func TestCursorSkips(t *testing.T) {
	tree := NewNames[string]()
	for site := range 20 {
		for i := range 10_000 {
			tree.Set(fmt.Sprintf("site/%d/log/%d", site, i), "log")
		}
		tree.Set(fmt.Sprintf("site/%d/temp", site), "temp")
	}
	for i := range 10_000 {
		tree.Set(fmt.Sprintf("$SYS/%d", i), "sys")
	}
	for filter, want := range map[string]int{
		"site/+/temp":    20,
		"site/+/temp/#":  20,
		"+/+/temp":       20,
		"+/3/temp":       1,
		"site/3/temp":    1,
		"site/3/+":       1,
		"site/+":         0,
		"+":              0,
		"+/+":            0,
		"site/+/+/77":    20,
		"site/+/log/7/#": 20,
		"none/#":         0,
	} {
		got, calls := walk(t, tree.Cursor(filter), 100)
		if len(got) != want || calls != 1 {
			t.Errorf("%q: %d names in %d calls, want %d in one", filter, len(got), calls, want)
		}
	}
	all, calls := walk(t, tree.Cursor("#"), 1<<30)
	if want := 20 * 10_001; len(all) != want || calls < want/stepBudget || calls > want/stepBudget+2 {
		t.Errorf("%d names in %d calls, want %d", len(all), calls, want)
	}
}

// A walk that finds nothing returns often.
func TestCursorIsBounded(t *testing.T) {
	tree := NewNames[int]()
	for i := range 10_000 {
		tree.Set(strconv.Itoa(i)+"/a", i)
	}
	c := tree.Cursor("+/b")
	got, done := c.Next(nil, 10)
	if len(got) != 0 || done {
		t.Errorf("Next = %v, %v, want none and not done", got, done)
	}
	if got, calls := walk(t, c, 10); len(got) != 0 || calls > 6 {
		t.Errorf("%v in %d calls", got, calls)
	}
	if got, done := c.Next(nil, 10); len(got) != 0 || !done {
		t.Errorf("after the end: Next = %v, %v", got, done)
	}
}

// CVE-2019-11779: topics of as many levels as fit; also, long names cost more
// of the budget.
func TestNamesDeep(t *testing.T) {
	slashes := strings.Repeat("/", 65000)
	tree := NewNames[int]()
	const many = 100
	for i := range many {
		tree.Set(slashes+strconv.Itoa(i), i)
	}
	checkBranches(t, tree)
	for filter, want := range map[string]int{
		"#":                               many,
		slashes + "+":                     many,
		slashes + "7":                     1,
		strings.Repeat("+/", 32000) + "#": many,
		strings.Repeat("+/", 32000) + "a": 0,
		slashes:                           0,
	} {
		got, _ := walk(t, tree.Cursor(filter), many)
		if len(got) != want {
			t.Errorf("filter of %d bytes: %d names, want %d", len(filter), len(got), want)
		}
	}
	if _, calls := walk(t, tree.Cursor("#"), many); calls < 5 {
		t.Errorf("%d MB of names in %d calls", many*65/1000, calls)
	}
}

func TestNamesConcurrently(t *testing.T) {
	tree := NewNames[string]()
	for i := range 300 {
		tree.Set(fmt.Sprintf("fixed/%d/x", i), "fixed")
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				name := fmt.Sprintf("fixed/%d/%d", i%300, g)
				tree.Set(name, name)
				if v, ok := tree.Get(name); !ok || v != name {
					t.Errorf("Get(%q) = %q, %v", name, v, ok)
				}
				tree.Delete(name)
			}
		})
		wg.Go(func() {
			for range 10 {
				got, _ := walk(t, tree.Cursor("fixed/+/x"), 7)
				if len(got) != 300 || slices.IndexFunc(got, func(v string) bool { return v != "fixed" }) >= 0 {
					t.Errorf("%d names, want 300", len(got))
				}
			}
		})
	}
	wg.Wait()
	checkBranches(t, tree)
	if tree.Len() != 300 {
		t.Errorf("%d names are left", tree.Len())
	}
}
