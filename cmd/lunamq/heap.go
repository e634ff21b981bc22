package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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
}

// keep holds to the minimum from now on: each collection tells what is in use.
func (h *heapMinimum) keep() {
	h.set(h.most())
	h.await()
}

// collected is an object that nobody has, so that the next collection finds it.
type collected struct{ _ [32]byte }

func (h *heapMinimum) await() {
	runtime.AddCleanup(new(collected), func(h *heapMinimum) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		h.adjust(int64(live[0].Value.Uint64()))
		h.await()
	}, h)
}

// adjust sets the percentage that leads from what is in use to the minimum. Setting
// stops the program for a moment: a difference of less than a quarter is left.
func (h *heapMinimum) adjust(live int64) {
	percent := h.wants(live)
	if 4*max(percent-h.percent, h.percent-percent) >= h.percent {
		h.set(percent)
	}
}

func (h *heapMinimum) wants(live int64) int {
	return max(h.least, min(int((h.bytes-live)*100/max(live, 1)), h.most()))
}

// most is the percentage at which Go's own minimum is this one.
func (h *heapMinimum) most() int { return max(h.least, int(h.bytes*100/goHeapMinimum)) }

func (h *heapMinimum) set(percent int) {
	h.percent = percent
	debug.SetGCPercent(percent)
}
