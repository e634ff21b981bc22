package topic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// fill makes a tree of n filters, whose keys and values are pointers as those of
// the broker's subscriptions are.
func fill(n int, at func(i int) string) *Filters[*int, *int] {
	key, value := new(int), new(int)
	tree := NewFilters[*int, *int]()
	for i := range n {
		tree.Set(at(i), key, value)
	}
	return tree
}

// What a filter takes of the heap, its text included.
func BenchmarkFiltersMemory(b *testing.B) {
	const n = 1_000_000
	for what, at := range map[string]func(i int) string{
		"one for each device":  func(i int) string { return fmt.Sprintf("devices/%d/cmd/+", i) },
		"four for each device": func(i int) string { return fmt.Sprintf("devices/%d/cmd/%d", i/4, i%4) },
	} {
		b.Run(what, func(b *testing.B) {
			perFilter := 0.0
			for b.Loop() {
				before := heap()
				tree := fill(n, at)
				perFilter = float64(heap()-before) / n
				runtime.KeepAlive(tree)
			}
			b.ReportMetric(perFilter, "B/filter")
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func benchMatch(b *testing.B, tree *Filters[*int, *int], names ...string) {
	dst := make([]*int, 0, 1<<16)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		dst = tree.Match(names[i%len(names)], dst[:0])
		i++
	}
	b.ReportMetric(float64(len(dst)), "matches")
}

// spread are names all over n devices, so that caches do not flatter.
func spread(n int) []string {
	names := make([]string, min(n, 4096))
	for i := range names {
		names[i] = fmt.Sprintf("devices/%d/cmd/set", i*7919%n)
	}
	return names
}

func BenchmarkFiltersMatch(b *testing.B) {
	for _, n := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprintf("literal/%d", n), func(b *testing.B) {
			tree := fill(n, func(i int) string { return fmt.Sprintf("devices/%d/cmd/set", i) })
			benchMatch(b, tree, spread(n)...)
		})
		b.Run(fmt.Sprintf("wildcard/%d", n), func(b *testing.B) {
			tree := fill(n, func(i int) string { return fmt.Sprintf("devices/%d/+/#", i) })
			for _, f := range []string{"#", "devices/+/cmd/+", "+/+/cmd/set", "devices/+/state"} {
				tree.Set(f, new(int), new(int))
			}
			benchMatch(b, tree, spread(n)...)
		})
	}
	b.Run("hashes", func(b *testing.B) {
		tree := fill(64, func(i int) string { return strings.Repeat("a/", i) + "#" })
		benchMatch(b, tree, strings.Repeat("a/", 64)+"a")
	})
	b.Run("subscribers/100000", func(b *testing.B) {
		tree := NewFilters[*int, *int]()
		for range 100_000 {
			tree.Set("news/#", new(int), new(int))
		}
		benchMatch(b, tree, "news/today")
	})
	b.Run("slashes/65534", func(b *testing.B) {
		slashes := strings.Repeat("/", 65534)
		tree := fill(1, func(int) string { return strings.Repeat("+/", 32767) + "#" })
		benchMatch(b, tree, slashes)
	})
}

// BenchmarkFiltersMatchCold goes through all of a million names in random order,
// so that of a filter nothing is in a cache. What it takes is how often memory is
// waited for: 4096 names, as above, stay in the cache.
func BenchmarkFiltersMatchCold(b *testing.B) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(9, 10))
	mixed, order := random.Perm(n), random.Perm(n)
	one := func(dst []byte, i int) []byte {
		return append(strconv.AppendInt(append(dst, "devices/"...), int64(i), 10), "/cmd/set"...)
	}
	four := func(dst []byte, i int) []byte {
		dst = strconv.AppendInt(append(dst, "devices/"...), int64(i/4), 10)
		return strconv.AppendInt(append(dst, "/cmd/"...), int64(i%4), 10)
	}
	for what, c := range map[string]struct {
		filter func(i int) string
		name   func(dst []byte, i int) []byte
	}{
		"literal":    {func(i int) string { return string(one(nil, i)) }, one},
		"wildcard":   {func(i int) string { return fmt.Sprintf("devices/%d/+/#", i) }, one},
		"none":       {func(i int) string { return string(one(nil, n+i)) }, one},
		"four":       {func(i int) string { return string(four(nil, i)) }, four},
		"four mixed": {func(i int) string { return string(four(nil, mixed[i])) }, four}, // set apart
	} {
		b.Run(what, func(b *testing.B) {
			tree := fill(n, c.filter)
			dst, name, i := make([]*int, 0, 16), make([]byte, 0, 64), 0
			b.ReportAllocs()
			for b.Loop() {
				name = c.name(name[:0], order[i])
				dst = tree.Match(lentString(name), dst[:0])
				if i++; i == n {
					i = 0
				}
			}
			b.ReportMetric(float64(len(dst)), "matches")
		})
	}
}

func BenchmarkFiltersMatchParallel(b *testing.B) {
	tree := fill(100_000, func(i int) string { return fmt.Sprintf("devices/%d/cmd/set", i) })
	names := spread(100_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		dst, i := make([]*int, 0, 16), 0
		for pb.Next() {
			dst = tree.Match(names[i%len(names)], dst[:0])
			i++
		}
	})
}

// A Set and a Delete beside 10^5 others.
func BenchmarkFiltersSet(b *testing.B) {
	for what, at := range map[string]func(i int) (string, string){
		"children": func(i int) (string, string) { return "devices/" + strconv.Itoa(i), "k" },
		"values":   func(i int) (string, string) { return "devices/#", strconv.Itoa(i) },
	} {
		b.Run(what+"/100000", func(b *testing.B) {
			tree := NewFilters[string, int]()
			for i := range 100_000 {
				filter, key := at(i)
				tree.Set(filter, key, i)
			}
			filter, key := at(100_000)
			b.ReportAllocs()
			for b.Loop() {
				tree.Set(filter, key, 1)
				tree.Delete(filter, key)
			}
		})
	}
}

func BenchmarkFiltersOverlapping(b *testing.B) {
	tree := fill(100_000, func(i int) string { return fmt.Sprintf("devices/%d/+/#", i) })
	dst := make([]*int, 0, 100_000)
	for _, filter := range []string{"devices/7/cmd/+", "devices/+/cmd"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = tree.Overlapping(filter, dst[:0])
			}
			b.ReportMetric(float64(len(dst)), "matches")
		})
	}
}

// 10^6 retained names: five topics of each of 200 000 devices.
func BenchmarkNames(b *testing.B) {
	const devices = 200_000
	kinds := []string{"battery", "firmware", "humidity", "status", "temp"}
	before := heap()
	tree, value := NewNames[*int](), new(int)
	for i := range devices {
		for _, kind := range kinds {
			tree.Set(fmt.Sprintf("site/%d/%s", i*7919%devices, kind), value)
		}
	}
	perName := float64(heap()-before) / float64(tree.Len())
	names := make([]string, 4096)
	for i := range names {
		names[i] = fmt.Sprintf("site/%d/temp", i*104729%devices)
	}
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			tree.Set(names[i%len(names)], value)
			i++
		}
		b.ReportMetric(perName, "B/name")
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			tree.Get(names[i%len(names)])
			i++
		}
	})
	for _, filter := range []string{"site/7/temp", "site/7/#", "site/+/temp", "#"} {
		b.Run("walk "+filter, func(b *testing.B) {
			dst, found := make([]*int, 0, 256), 0
			b.ReportAllocs()
			for b.Loop() {
				found = 0
				c := tree.Cursor(filter)
				for done := false; !done; found += len(dst) {
					dst, done = c.Next(dst[:0], 256)
				}
			}
			b.ReportMetric(float64(found), "matches")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*found), "ns/match")
		})
	}
}
