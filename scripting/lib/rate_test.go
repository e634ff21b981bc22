package lib

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newTestLimiters(maxKeys int) (*Limiters, *testClock) {
	clock := newTestClock()
	return NewLimiters(clock.now, maxKeys), clock
}

func wantAllow(t *testing.T, l *Limiter, key string, n float64, want bool) {
	t.Helper()
	if got := l.Allow(key, n); got != want {
		t.Errorf("Allow(%.20q, %v) = %v, want %v", key, n, got, want)
	}
}

func TestLimiterRefills(t *testing.T) {
	ls, clock := newTestLimiters(100)
	l := ls.Limiter("a", 2, 4)
	wantAllow(t, l, "k", 4, true)
	wantAllow(t, l, "k", 1, false)
	wantAllow(t, l, "other", 1, true)
	clock.advance(499 * time.Millisecond)
	wantAllow(t, l, "k", 1, false)
	clock.advance(time.Millisecond)
	wantAllow(t, l, "k", 1, true)
	wantAllow(t, l, "k", 0.001, false)
	clock.advance(time.Hour) // no more than the burst
	wantAllow(t, l, "k", 4.5, false)
	wantAllow(t, l, "k", 4, true)
	wantAllow(t, l, "k", 0.5, false)
	clock.advance(-time.Hour)
	wantAllow(t, l, "k", 0.5, false)
}

func TestLimiterAmounts(t *testing.T) {
	ls, clock := newTestLimiters(100)
	l := ls.Limiter("a", 1, 2)
	for n, want := range map[float64]bool{0: true, -1: false, 3: false, math.Inf(1): false, math.Inf(-1): false, 2: true} {
		wantAllow(t, l, "k", n, want)
	}
	wantAllow(t, l, "nan", math.NaN(), false)
	wantAllow(t, ls.Limiter("no burst", 1, 0), "k", 1, false)
	wantAllow(t, ls.Limiter("nan", math.NaN(), math.NaN()), "k", 1, false)
	once := ls.Limiter("no rate", -1, 1)
	wantAllow(t, once, "k", 1, true)
	clock.advance(1000 * time.Hour)
	wantAllow(t, once, "k", 1, false)
	wantAllow(t, ls.Limiter("unlimited", math.Inf(1), math.Inf(1)), "k", 1e300, true)
}

// A limiter is known by its id: a reload that makes it again meets the tokens as they were.
func TestLimiterSurvivesReload(t *testing.T) {
	ls, clock := newTestLimiters(100)
	old := ls.Limiter("20-rate.lua:3", 1, 2)
	wantAllow(t, old, "k", 2, true)
	l := ls.Limiter("20-rate.lua:3", 10, 3)
	wantAllow(t, l, "k", 1, false)
	wantAllow(t, ls.Limiter("20-rate.lua:9", 1, 2), "k", 2, true)
	clock.advance(200 * time.Millisecond)
	wantAllow(t, l, "k", 2, true) // at the new rate
	clock.advance(time.Hour)
	wantAllow(t, old, "k", 3, true) // the same limiter, the new burst
}

// Somebody with a key for each attempt does not get his first one back full.
func TestLimitersDoNotForgetWhatIsSpent(t *testing.T) {
	ls, clock := newTestLimiters(50)
	l := ls.Limiter("logins", 1, 10)
	wantAllow(t, l, "victim", 10, true)
	for i := range 10_000 {
		l.Allow(fmt.Sprint("attacker", i), 10)
	}
	wantAllow(t, l, "victim", 1, false)
	if ls.Len() != 50 {
		t.Errorf("%d keys are remembered, want 50", ls.Len())
	}
	// No room: keys that are new share one bucket, which is spent.
	wantAllow(t, l, "new 1", 1, false)
	clock.advance(time.Second)
	wantAllow(t, l, "new 1", 1, true)
	wantAllow(t, l, "new 2", 1, false)
	// What is full again makes room.
	clock.advance(10 * time.Second)
	wantAllow(t, l, "new 1", 10, true)
	wantAllow(t, l, "new 2", 10, true)
	wantAllow(t, l, "new 1", 1, false)
}

// A limiter whose buckets fill slowly does not keep those of a quick one from making room.
func TestLimitersFindTheFullOnes(t *testing.T) {
	ls, clock := newTestLimiters(200)
	slow, quick := ls.Limiter("slow", 0.0001, 10), ls.Limiter("quick", 1000, 10)
	for i := range 150 {
		slow.Allow(fmt.Sprint(i), 10)
	}
	for i := range 5000 {
		wantAllow(t, quick, fmt.Sprint("q", i), 10, true)
		clock.advance(10 * time.Millisecond)
	}
	for i := range 150 {
		wantAllow(t, slow, fmt.Sprint(i), 5, false)
	}
	if ls.Len() > 200 {
		t.Errorf("%d keys", ls.Len())
	}
}

// Keys that are full again are forgotten by the new ones long before there is no room.
func TestLimitersShrink(t *testing.T) {
	ls, clock := newTestLimiters(1 << 20)
	l := ls.Limiter("a", 1000, 1)
	for i := range 20_000 {
		l.Allow(fmt.Sprint(i), 1)
		clock.advance(100 * time.Microsecond)
	}
	if ls.Len() > 100 {
		t.Errorf("%d keys are remembered, 10 are not full", ls.Len())
	}
}

func TestLimitersLongKeys(t *testing.T) {
	ls, _ := newTestLimiters(100)
	l := ls.Limiter("a", 1, 1)
	long := strings.Repeat("k", 60_000)
	wantAllow(t, l, long, 1, true)
	wantAllow(t, l, long, 1, false)
	wantAllow(t, l, long+"x", 1, true)
	for k := range ls.places {
		if len(k.key) > maxLimiterKey {
			t.Errorf("a key of %d bytes is held", len(k.key))
		}
	}
}

func TestLimitersKeep(t *testing.T) {
	ls, _ := newTestLimiters(1000)
	a, b := ls.Limiter("a", 1, 1), ls.Limiter("b", 1, 1)
	for i := range 300 {
		a.Allow(fmt.Sprint(i), 1)
		b.Allow(fmt.Sprint(i), 1)
	}
	ls.Keep(func(id string) bool { return id == "b" })
	if ls.Len() != 300 {
		t.Errorf("%d keys, want 300", ls.Len())
	}
	for i := range 300 {
		wantAllow(t, b, fmt.Sprint(i), 1, false)
	}
	wantAllow(t, ls.Limiter("a", 1, 1), "7", 1, true)
	wantAllow(t, a, "7", 1, true) // its holder goes on with a bucket of its own
}

func TestLimitersConcurrent(t *testing.T) {
	ls, _ := newTestLimiters(16)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if ls.Limiter("shared", 1, 100).Allow("k", 1) {
					allowed.Add(1)
				}
				ls.Limiter("many", 1, 1).Allow(fmt.Sprint(w, i), 1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 || ls.Len() != 16 {
		t.Errorf("%d allowed of 100, %d keys of 16", allowed.Load(), ls.Len())
	}
}

func TestLimiterAllowDoesNotAllocate(t *testing.T) {
	ls := NewLimiters(time.Now, 100)
	l := ls.Limiter("a", 1, 1)
	l.Allow("k", 1)
	if n := testing.AllocsPerRun(100, func() { l.Allow("k", 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLimiterAllow(b *testing.B) {
	ls := NewLimiters(time.Now, 100_000)
	l := ls.Limiter("a", 10, 10)
	keys := make([]string, 1<<17)
	for i := range keys {
		keys[i] = fmt.Sprint("client-", i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		l.Allow(keys[i%len(keys)], 1)
		i++
	}
}
