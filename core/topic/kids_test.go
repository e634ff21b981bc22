package topic

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// checkTable verifies that every child is found where its hash says, and that
// the buckets are as many as they should be.
func checkTable[K comparable, V any](t tester, table *kidTable[K, V], hash func(level string) uint32) {
	t.Helper()
	found := 0
	for c := range table.all {
		found++
		if got := table.get(hash(c.first()), c.first()); got != c {
			t.Fatalf("%q is not where it is looked for", c.label)
		}
	}
	if found != table.len {
		t.Fatalf("%d children, len is %d", found, table.len)
	}
	buckets := 0
	for i, part := range table.parts {
		buckets += len(part)
		if i < len(table.parts)-1 && len(part) != partLen {
			t.Fatalf("part %d of %d has %d buckets", i, len(table.parts), len(part))
		}
		for i := range part {
			for b := part[i].more; b != nil; b = b.more {
				if b.nodes == [bucketLen]*node[K, V]{} {
					t.Fatalf("an empty bucket hangs below another")
				}
			}
		}
		for _, b := range part[len(part):cap(part)] {
			if b != (bucket[K, V]{}) {
				t.Fatalf("a bucket that is gone keeps children")
			}
		}
	}
	if n := int(table.n); buckets != n || found > n*maxLoad || n > 1 && found < n*minLoad {
		t.Fatalf("%d buckets, n is %d, for %d children", buckets, n, found)
	}
}

// room is the number of buckets that the table has memory for.
func (t *kidTable[K, V]) room() (buckets int) {
	for _, part := range t.parts {
		buckets += cap(part)
		for i := range part {
			for b := part[i].more; b != nil; b = b.more {
				buckets++
			}
		}
	}
	return buckets
}

// All numbers of hash bits, down to none.
func TestKidTableAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, plain := newKidTable[int, int](), map[string]*node[int, int]{}
		mask := uint32(1)<<rapid.IntRange(0, 31).Draw(t, "bits") - 1
		hash := func(level string) uint32 { return hashOf(level) & mask }
		remove := func(level string) {
			if c := plain[level]; c != nil {
				table.remove(hash(level), c)
				delete(plain, level)
			}
		}
		level := rapid.Map(rapid.IntRange(0, 400), strconv.Itoa)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				level := level.Draw(t, "level")
				plain[level] = newNode[int, int](level + "/a")
				table.set(hash(level), plain[level])
			},
			"set many": func(t *rapid.T) {
				for range rapid.IntRange(1, 300).Draw(t, "how many") {
					level := level.Draw(t, "level")
					plain[level] = newNode[int, int](level)
					table.set(hash(level), plain[level])
				}
			},
			"remove": func(t *rapid.T) { remove(level.Draw(t, "level")) },
			"remove many": func(t *rapid.T) {
				levels := slices.Sorted(func(yield func(string) bool) {
					for c := range table.all {
						if !yield(c.first()) {
							return
						}
					}
				})
				step := rapid.IntRange(1, 5).Draw(t, "each")
				for i := 0; i < len(levels); i += step {
					remove(levels[i])
				}
			},
			"get": func(t *rapid.T) {
				level := level.Draw(t, "level")
				if c := table.get(hash(level), level); c != plain[level] {
					t.Fatalf("get(%q) = %v, want %v", level, c, plain[level])
				}
			},
			"": func(t *rapid.T) {
				if table.len != len(plain) {
					t.Fatalf("len is %d, want %d", table.len, len(plain))
				}
				checkTable(t, table, hash)
			},
		})
	})
}

// Levels that an adversary found, all with one hash: they are a list, and take
// no more memory than others.
func TestKidTableEqualHashes(t *testing.T) {
	const many, hash = 2000, 0xdeadbeef
	table, kids := newKidTable[int, int](), make([]*node[int, int], many)
	for i := range kids {
		kids[i] = newNode[int, int](strconv.Itoa(i))
		table.set(hash, kids[i])
	}
	equal := func(string) uint32 { return hash }
	checkTable(t, table, equal)
	if want := many/maxLoad + many/bucketLen + 2; table.room() > 2*want {
		t.Errorf("room for %d buckets, want %d", table.room(), want)
	}
	for left := many; left > 0; left-- {
		c := kids[many-left]
		table.remove(hash, c)
		if table.get(hash, c.label) != nil {
			t.Fatalf("%q is there after it was removed", c.label)
		}
		if left%499 == 0 {
			checkTable(t, table, equal)
		}
	}
	if table.len != 0 || table.room() > 1 {
		t.Errorf("%d children are left, and room for %d buckets", table.len, table.room())
	}
}

// Subscribing and unsubscribing copy no large table: what buckets lie in stays
// where it is, but for the part at the end.
func TestKidTableStaysInPlace(t *testing.T) {
	const many = 50_000
	table, kids := newKidTable[int, int](), make([]*node[int, int], many)
	var starts []*bucket[int, int]
	check := func() {
		for i := range min(len(starts), len(table.parts)-1) {
			if starts[i] != &table.parts[i][0] {
				t.Fatalf("with %d children, part %d of %d was copied", table.len, i, len(table.parts))
			}
		}
		starts = starts[:0]
		for _, part := range table.parts[:len(table.parts)-1] {
			starts = append(starts, &part[0])
		}
	}
	for i := range kids {
		kids[i] = newNode[int, int](strconv.Itoa(i))
		table.set(hashOf(kids[i].label), kids[i])
		check()
	}
	if len(starts) < 2 {
		t.Fatalf("%d parts, too few to see anything", len(starts))
	}
	for _, c := range kids {
		table.remove(hashOf(c.label), c)
		check()
	}
}

// What was taken by many filters is given back while some are left.
func TestFiltersGiveMemoryBack(t *testing.T) {
	const many, few = 100_000, 100
	tree, filter := NewFilters[int, int](), func(i int) string { return "devices/" + strconv.Itoa(i) + "/+" }
	before := heap()
	for i := range many {
		tree.Set(filter(i), 0, i)
	}
	full := heap() - before
	for _, i := range rand.New(rand.NewPCG(11, 12)).Perm(many) {
		if i >= few {
			tree.Delete(filter(i), 0)
		}
	}
	if left := heap() - before; left > full/100 {
		t.Errorf("%d filters take %d bytes after %d took %d", few, left, many, full)
	}
	if table := tree.root.kids.few[0].kids.many; table.room() > 4*few/minLoad {
		t.Errorf("%d children have room for %d buckets", few, table.room())
	}
	runtime.KeepAlive(tree)
}
