package scripting

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestCountsOfHandlersAndScripts(t *testing.T) {
	r := newRig(t, map[string]string{
		"10.lua": `
			mqtt.on("publish", "#", function(m)
				if m.topic == "loop" then while true do end end
				if m.topic == "err" then error("no") end
				if m.topic == "deny" then return mqtt.deny() end
			end)`,
		"20.lua": `
			mqtt.on("publish", "ok/#", function(m) return true end)
			mqtt.on("publish", "ok/#", function(m) return mqtt.drop() end)`,
		"30.lua": `-- nothing`,
	}, func(o *Options) { o.Budget = 1000 })
	must(t, r.Reload(t.Context()))
	for _, topic := range []string{"loop", "loop", "err", "deny", "ok/1", "ok/2", "ok/3"} {
		r.publish(topic, "")
	}
	handlers := r.HandlerCounts()
	for i, want := range []struct {
		by                      string
		calls, errors, overruns uint64
		verdict                 string
		verdicts                uint64
	}{
		{"10.lua:2", 7, 3, 2, "deny", 1},
		{"20.lua:2", 3, 0, 0, "allow", 3},
		{"20.lua:3", 3, 0, 0, "drop", 3},
	} {
		h := handlers[i]
		if h.By != want.by || h.Calls != want.calls || h.Errors != want.errors || h.Overruns != want.overruns || h.Verdicts[want.verdict] != want.verdicts {
			t.Errorf("got %+v, want %+v", h, want)
		}
		if h.Times.Count != h.Calls {
			t.Errorf("%s: %d of the first %d calls timed", h.By, h.Times.Count, h.Calls)
		}
	}
	scripts := r.ScriptCounts()
	if len(scripts) != 3 {
		t.Fatalf("scripts %+v", scripts)
	}
	if s := scripts[0]; s.File != "10.lua" || s.Handlers != 1 || s.Calls != 7 || s.Errors != 3 || s.Overruns != 2 || s.Verdicts["pass"] != 3 {
		t.Errorf("%+v", s)
	}
	if s := scripts[1]; s.Handlers != 2 || s.Calls != 6 || s.Verdicts["allow"] != 3 || s.Verdicts["drop"] != 3 || s.Times.Count != 6 {
		t.Errorf("%+v", s)
	}
	if s := scripts[2]; s.File != "30.lua" || s.Handlers != 0 || s.Calls != 0 {
		t.Errorf("%+v", s)
	}
}

// Short calls are sampled, each counting for sampleOf; those that took longer
// are all timed, exactly once.
func TestTimesAreSampled(t *testing.T) {
	r := rules(t, `
		mqtt.on("publish", "short", function() end)
		mqtt.on("publish", "long", function() for i = 1, 1000 do end end)`)
	const calls = 20_000
	for range calls {
		r.publish("short", "")
		r.publish("long", "")
	}
	short, long := r.HandlerCounts()[0], r.HandlerCounts()[1]
	if off := math.Abs(float64(short.Times.Count) - calls); off > calls/10 || short.Times.Count == calls {
		t.Errorf("%d calls were counted as %d", calls, short.Times.Count)
	}
	if long.Times.Count != calls {
		t.Errorf("%d long calls were counted as %d", calls, long.Times.Count)
	}
	if low := TimeBound(0); long.Times.Quantile(0.5) <= low || long.Times.Sum < calls*firstSpan {
		t.Errorf("long calls took %v in all, half of them at most %v", long.Times.Sum, long.Times.Quantile(0.5))
	}
}

func TestBucketOf(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 0, 1: 0, 256: 0, 257: 1, 512: 1, 513: 2, 1024: 2, time.Hour: timeBuckets - 1, -1: 0,
	} {
		if got := bucketOf(d); got != want {
			t.Errorf("%d ns is in bucket %d, want %d", d, got, want)
		}
	}
	for i := range timeBuckets - 1 {
		if bucketOf(TimeBound(i)) != i || bucketOf(TimeBound(i)+1) != i+1 {
			t.Errorf("the bound of bucket %d is not %v", i, TimeBound(i))
		}
	}
}

func TestQuantile(t *testing.T) {
	var h times
	if q := h.snapshot().Quantile(0.5); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
	h.add(time.Microsecond, 98) // the bucket of 512 to 1024 ns
	h.add(time.Millisecond, 2)  // that of 524 288 to 1 048 576 ns
	s := h.snapshot()
	for q, want := range map[float64]string{0.49: "768ns", 0.98: "1.024µs", 0.99: "786.432µs", 1: "1.048576ms"} {
		if got := fmt.Sprint(s.Quantile(q)); got != want {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	if s.Count != 100 || s.Sum != 98*time.Microsecond+2*time.Millisecond {
		t.Errorf("%+v", s)
	}
}
