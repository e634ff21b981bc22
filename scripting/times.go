package scripting

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of the time histograms double: the first takes what is at most
// 256 ns, the last all beyond 1 s, which no deadline allows but a stopped machine.
const (
	firstBucket = 8 // as a power of two of nanoseconds
	timeBuckets = 24
)

// times is the histogram of how long calls held their world.
type times struct {
	// Atomic:
	buckets [timeBuckets]atomic.Uint64
	count   atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// add counts n calls that took d.
func (t *times) add(d time.Duration, n uint64) {
	t.buckets[bucketOf(d)].Add(n)
	t.count.Add(n)
	t.sum.Add(int64(d) * int64(n))
}

func bucketOf(d time.Duration) int {
	if d <= 1<<firstBucket {
		return 0
	}
	return min(bits.Len64(uint64(d-1))-firstBucket, timeBuckets-1)
}

// Times is how long the calls of a handler held their world. The calls of a few
// microseconds are sampled, so the numbers are estimates; they only grow.
type Times struct {
	Count   uint64        `json:"count"`
	Sum     time.Duration `json:"sum_ns"`
	Buckets []uint64      `json:"-"` // calls by time: in bucket i those of at most TimeBound(i), and more than the bound before
}

// TimeBound is the longest time that is counted in bucket i; the last has none.
func TimeBound(i int) time.Duration { return 1 << (firstBucket + i) }

func (t *times) snapshot() Times {
	out := Times{Sum: time.Duration(t.sum.Load()), Buckets: make([]uint64, timeBuckets)}
	for i := range t.buckets {
		out.Buckets[i] = t.buckets[i].Load()
		out.Count += out.Buckets[i]
	}
	return out
}

// Quantile is the time within which the share q of the calls was done, by
// interpolation in its bucket; 0 without calls.
func (t Times) Quantile(q float64) time.Duration {
	rank, below := q*float64(t.Count), 0.0
	for i, n := range t.Buckets {
		if n > 0 && below+float64(n) >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = TimeBound(i - 1)
			}
			return low + time.Duration(float64(TimeBound(i)-low)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}

// Reading the clock twice takes 70 ns, a quarter of a call of an empty handler
// (BenchmarkEmptyHandler): of the short calls one in sampleOf is timed and counts
// for all. The first calls of a handler are timed, each; and a call that
// outlasted its first instructions, for the sandbox has timed that already.
const (
	sampleOf   = 16
	exactCalls = 64
	// firstSpan is what a call took before the sandbox looked at the clock: 256
	// instructions of some 20 ns.
	firstSpan = 5 * time.Microsecond
)

// programBegan is what stopwatch counts from: time.Since of it reads one clock,
// time.Now two.
var programBegan = time.Now()

// stopwatch times one call, if it is one of those that are timed.
type stopwatch struct {
	began  time.Duration
	weight uint64 // calls that it stands for; 0: not timed
}

// startWatch is called before a call. The world is locked.
func (w *world) startWatch(h *handler) stopwatch {
	switch {
	case h.times.count.Load() < exactCalls:
		return stopwatch{time.Since(programBegan), 1}
	case w.chance()%sampleOf == 0:
		return stopwatch{time.Since(programBegan), sampleOf}
	}
	return stopwatch{}
}

// stopWatch counts the time of the call. The world is locked.
func (w *world) stopWatch(h *handler, s stopwatch) {
	if held := w.Held(); held > 0 {
		w.record(h, held+firstSpan, 1)
	} else if s.weight > 0 {
		w.record(h, time.Since(programBegan)-s.began, s.weight)
	}
}

func (w *world) record(h *handler, d time.Duration, n uint64) {
	h.times.add(d, n)
	w.busy.Add(int64(d) * int64(n))
}

// chance is a random number: which calls are timed must not follow the order of
// the events. (Marsaglia, "Xorshift RNGs", 2003.)
func (w *world) chance() uint32 {
	x := w.random
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	w.random = x
	return x
}
