package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestHeapMinimumWants(t *testing.T) {
	h := &heapMinimum{bytes: 16 << 20, least: 100}
	for _, c := range []struct{ live, percent int64 }{
		{0, 400}, {1 << 20, 400}, {4 << 20, 300}, {6 << 20, 166}, {8 << 20, 100}, {15 << 20, 100}, {100 << 20, 100},
	} {
		if got := h.wants(c.live); int64(got) != c.percent {
			t.Errorf("with %d MiB in use: %d percent, want %d", c.live>>20, got, c.percent)
		}
	}
	if h := (&heapMinimum{bytes: 4 << 20, least: 100}); h.wants(1<<20) != 100 {
		t.Errorf("with Go's own minimum: %d percent, want 100", h.wants(1<<20))
	}
}

// TestHeapMinimumFollows: what is in use after a collection moves the percentage.
func TestHeapMinimumFollows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	h := &heapMinimum{bytes: 128 << 20, least: 50}
	h.keep()
	if p := percentInForce(); p != 3200 {
		t.Fatalf("%d percent at first, want 3200", p)
	}
	held := make([]byte, 80<<20)
	for percentInForce() > 100 { // 48 MiB more
		runtime.GC()
	}
	runtime.KeepAlive(held)
}

func percentInForce() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
