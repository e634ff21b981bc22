package lib

import (
	"container/heap"
	"math"
)

// kvExpiry is a heap of the entries that expire, the next one first. Each entry knows its place.
type kvExpiry []*kvEntry

func (h kvExpiry) Len() int           { return len(h) }
func (h kvExpiry) Less(i, j int) bool { return h[i].expires < h[j].expires }

func (h kvExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}

func (h *kvExpiry) Push(x any) {
	e := x.(*kvEntry)
	e.heapAt = len(*h)
	*h = append(*h, e)
}

func (h *kvExpiry) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.heapAt = -1
	return e
}

// set gives e a time to expire, math.MaxInt64 for none, and puts it where it belongs.
func (h *kvExpiry) set(e *kvEntry, expires int64) {
	e.expires = expires
	switch {
	case expires == math.MaxInt64:
		h.remove(e)
	case e.heapAt < 0:
		heap.Push(h, e)
	default:
		heap.Fix(h, e.heapAt)
	}
}

func (h *kvExpiry) remove(e *kvEntry) {
	if e.heapAt >= 0 {
		heap.Remove(h, e.heapAt)
	}
}
