package bench

import (
	"math"
	"math/bits"
	"time"
)

const (
	// subBits: each power of two is cut into 64 buckets, so a value is known to
	// 1/128 of itself, more or less.
	subBits    = 6
	subBuckets = 1 << subBits
	// maxValue is the largest that is told apart: 2^42 ns are 73 minutes.
	maxValue = 1<<42 - 1
	buckets  = (42 - subBits + 1) * subBuckets
)

// histogram counts durations in buckets that grow with the value, as HdrHistogram
// does: 9 KiB however many there are.
type histogram struct {
	counts  [buckets]uint32
	largest int64
}

// bucketOf is the index of the bucket of v, in nanoseconds.
func bucketOf(v int64) int {
	v = min(max(v, 0), maxValue)
	shift := max(0, bits.Len64(uint64(v))-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// middleOf is the middle of a bucket.
func middleOf(bucket int) int64 {
	shift := max(0, bucket>>subBits-1)
	low := int64(bucket-shift<<subBits) << shift
	return low + int64(1)<<shift>>1
}

// add counts n durations of v nanoseconds.
func (h *histogram) add(v int64, n uint32) {
	h.counts[bucketOf(v)] += n
	h.largest = max(h.largest, v)
}

// distribution is the sum of histograms.
type distribution struct {
	counts  [buckets]uint64
	total   uint64
	largest int64
}

func (d *distribution) merge(h *histogram) {
	if h == nil {
		return
	}
	for i, n := range h.counts {
		d.counts[i] += uint64(n)
		d.total += uint64(n)
	}
	d.largest = max(d.largest, h.largest)
}

// at is the duration that a share q of all does not exceed, 0 < q ≤ 1.
func (d *distribution) at(q float64) time.Duration {
	rank := max(1, uint64(math.Ceil(q*float64(d.total))))
	seen := uint64(0)
	for i, n := range d.counts {
		if seen += n; seen >= rank {
			return time.Duration(min(middleOf(i), d.largest))
		}
	}
	return 0
}

// Latency is how long messages took, in microseconds.
type Latency struct {
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
}

// latencyOf is that of a few durations, in nanoseconds.
func latencyOf(times []int64) *Latency {
	var h histogram
	for _, t := range times {
		h.add(t, 1)
	}
	var d distribution
	d.merge(&h)
	return d.latency()
}

// latency is nil when nothing was measured.
func (d *distribution) latency() *Latency {
	if d.total == 0 {
		return nil
	}
	us := func(t time.Duration) float64 { return float64(t) / 1e3 }
	return &Latency{us(d.at(0.50)), us(d.at(0.99)), us(d.at(0.999)), us(time.Duration(d.largest))}
}
