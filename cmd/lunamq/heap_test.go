package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestHeapMinimumWants(t *testing.T) {
	h := &heapMinimum{bytes: 16 << 20, least: 100}
	for _, c := range []struct{ live, roots, percent int64 }{
		{0, 0, 400}, {1 << 20, 0, 400}, {4 << 20, 0, 300}, {4 << 20, 4 << 20, 150}, {6 << 20, 0, 166},
		{8 << 20, 0, 100}, {15 << 20, 0, 100}, {100 << 20, 0, 100}, {1 << 20, 100 << 20, 100},
	} {
		if got := h.wants(c.live, c.roots); int64(got) != c.percent {
			t.Errorf("with %d MiB in use and %d MiB of roots: %d percent, want %d", c.live>>20, c.roots>>20, got, c.percent)
		}
	}
}

// TestHeapMinimumAdjusts: small differences are left, but for the last one.
func TestHeapMinimumAdjusts(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	h := &heapMinimum{bytes: 16 << 20, least: 100}
	h.set(h.most())
	for _, c := range []struct {
		live    int64
		percent int
	}{{3<<20 + 1<<19, 400}, {4 << 20, 300}, {4<<20 + 1<<19, 300}, {7 << 20, 128}, {8 << 20, 100}, {7 << 20, 128}, {1 << 30, 100}} {
		h.adjust(c.live, 0)
		if h.percent != c.percent || percentInForce() != uint64(c.percent) {
			t.Errorf("with %d bytes in use: %d percent, %d in force, want %d", c.live, h.percent, percentInForce(), c.percent)
		}
	}
}

// TestHeapMinimumFollows: what is in use after a collection moves the percentage.
func TestHeapMinimumFollows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	h := &heapMinimum{bytes: 128 << 20, least: 50}
	h.keep()
	defer h.end()
	if p := percentInForce(); p != 3200 {
		t.Fatalf("%d percent at first, want 3200", p)
	}
	held := make([]byte, 80<<20)
	for percentInForce() > 100 { // 48 MiB are left
		runtime.GC()
	}
	runtime.KeepAlive(held)
}

func percentInForce() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
