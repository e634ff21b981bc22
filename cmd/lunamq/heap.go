package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// goHeapMinimum is the heap at which Go collects garbage first at 100 percent; it
// grows with the percentage.
const goHeapMinimum = 4 << 20

// heapMinimum keeps garbage from being collected before the heap has a size: where
// little is in use, a percentage of it is used up soon. With a rule that changes each
// message there were 25 collections a second of 3 MiB in use.
type heapMinimum struct {
	bytes   int64
	least   int // percent, where more than the minimum is in use
	percent int // in force
	ended   atomic.Bool
}

// keep holds to the minimum until end: each collection tells what is in use.
func (h *heapMinimum) keep() {
	h.set(h.most())
	h.await()
}

func (h *heapMinimum) end() {
	if h != nil {
		h.ended.Store(true)
	}
}

// collected is an object that nobody has, so that the next collection finds it. A
// smaller one without pointers would share its place, and might live on with others.
type collected struct{ _ [32]byte }

func (h *heapMinimum) await() {
	runtime.AddCleanup(new(collected), func(h *heapMinimum) {
		if h.ended.Load() {
			return
		}
		in := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
		metrics.Read(in)
		h.adjust(int64(in[0].Value.Uint64()), int64(in[1].Value.Uint64()+in[2].Value.Uint64()))
		h.await()
	}, h)
}

// adjust sets the percentage that leads from the heap in use to the minimum. Setting
// stops the program for a moment: a difference of less than a quarter is left, unless
// the percentage is to be the least.
func (h *heapMinimum) adjust(live, roots int64) {
	percent := h.wants(live, roots)
	if percent == h.percent || percent != h.least && 4*max(percent-h.percent, h.percent-percent) < h.percent {
		return
	}
	h.set(percent)
}

// wants is the percentage at which the next collection comes at the minimum. Go takes it
// of the heap in use and of the roots, stacks and global variables.
func (h *heapMinimum) wants(live, roots int64) int {
	return int(max(int64(h.least), min((h.bytes-live)*100/max(live+roots, 1), int64(h.most()))))
}

// most is the percentage at which Go's own minimum is this one.
func (h *heapMinimum) most() int { return max(h.least, int(h.bytes*100/goHeapMinimum)) }

func (h *heapMinimum) set(percent int) {
	h.percent = percent
	debug.SetGCPercent(percent)
}
