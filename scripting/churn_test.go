package scripting

import (
	goflag "flag"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"weak"

	"lunamq/core"
)

// churning are rules that use what a generation holds: timers, closures, limiters,
// metrics, coroutines, modules, and state that is handed over.
const churning = `
local units = require("units")
local limiter, hits = rate.limiter(1e9, 1e9), metrics.counter("hits", "events")
local seen, co = 0, coroutine.wrap(function() while true do coroutine.yield() end end)
mqtt.on("load", function(state) seen = state or 0 end)
mqtt.on("unload", function() return seen end)
mqtt.every(3600, function() seen = seen + 1 end)
mqtt.on("publish", "a/#", function(m)
	seen = seen + 1
	limiter:allow(m.client.id)
	hits:inc()
	co()
	if seen %% 100 == 0 then mqtt.after(3600, function() seen = seen + 1 end) end
	m.payload = units.tag("%d")
end)`

var reloads = goflag.Int("reloads", 100, "how many reloads TestReloadsUnderLoadLeaveNothing does; 1000 take 20 s")

// TestReloadsUnderLoadLeaveNothing: after many reloads the generations are gone, no goroutine is left, the heap has not grown, and no
// event was lost or refused.
func TestReloadsUnderLoadLeaveNothing(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua": fmt.Sprintf(churning, 0), "lib/units.lua": `return { tag = function(s) return s end }`,
	}, func(o *Options) { o.Workers = 2 })
	must(t, r.Reload(t.Context()))
	goroutines := runtime.NumGoroutine()
	var publishers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if d, ev := r.publish("a/b", "x"); d.Verdict != core.Pass || string(ev.Message.Payload) == "x" {
					t.Errorf("%+v, payload %s", d, ev.Message.Payload)
				}
			}
		})
	}
	var old []weak.Pointer[generation]
	var before uint64
	for i := range *reloads {
		if i == *reloads/2 {
			before = liveHeap()
		}
		old = append(old, weak.Make(r.current))
		writeFile(t, filepath.Join(r.options.Dir, "10.lua"), fmt.Sprintf(churning, i+1))
		must(t, r.Reload(t.Context()))
	}
	close(stop)
	publishers.Wait()
	after := liveHeap()
	for i, g := range old {
		if g.Value() != nil {
			t.Errorf("generation %d of %d is still there", i+1, len(old)+1)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	const room = 4 << 20 // the publishers, and what is kept of the last generations
	if after > before+room {
		t.Errorf("the heap has grown from %d to %d bytes in %d reloads", before, after, *reloads/2)
	}
	r.clean()
}

// liveHeap is what the heap holds without garbage.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
