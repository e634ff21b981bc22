package sandbox

import (
	"runtime"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// measured is the estimate of a whole world.
func measured(w *World) int64 {
	m := w.NewMeasure()
	for !m.Step(100) {
	}
	return m.Bytes()
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestMeasureIsHonest: what scripts can fill a world with is estimated as what it takes, within a half.
func TestMeasureIsHonest(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what things take")
	}
	for _, c := range []struct{ name, body string }{
		{"list of numbers", `for i = 1, 60000 do keep[i] = i + 0.5 end`},
		{"tables with a field", `for i = 1, 10000 do keep[i] = {} keep[i].a = i end`},
		{"tables made with fields", `for i = 1, 20000 do keep[i] = {a = i, b = 2, c = 3} end`},
		{"empty tables", `for i = 1, 40000 do keep[i] = {} end`},
		{"nested lists", `for i = 1, 20000 do keep[i] = {1.5, 2.5, 3.5} end`},
		{"strings as keys", `for i = 1, 40000 do keep["key number " .. i] = true end`},
		{"numbers as keys", `for i = 1, 40000 do keep[i * 100000] = i end`},
		{"long strings", `for i = 1, 500 do keep[i] = ("x"):rep(20000) .. i end`},
		{"one long string", `local s = ("x"):rep(4000000) for i = 1, 1000 do keep[i] = s end`},
		{"short strings", `for i = 1, 60000 do keep[i] = "value " .. i end`},
		{"closures", `for i = 1, 40000 do local n = i keep[i] = function() n = n + 1 return n end end`},
		{"coroutines", `for i = 1, 60 do keep[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(keep[i]) end`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTestWorld(t, Limits{Budget: 1 << 40, Deadline: time.Minute}, "local keep = {} function handler() "+c.body+" end function get() return keep end")
			before, was := heapInUse(), measured(w)
			if _, err := w.Call(fn(t, w, "handler"), CallOptions{}, 0); err != nil {
				t.Fatal(err)
			}
			took, estimate := heapInUse()-before, measured(w)-was
			if took < 300_000 || float64(estimate) < 0.66*float64(took) || float64(estimate) > 1.5*float64(took) {
				t.Errorf("it takes %d bytes, the estimate is %d: %.2f", took, estimate, float64(estimate)/float64(took))
			}
			runtime.KeepAlive(w)
		})
	}
}

// TestMeasureInSteps: the steps add up, cycles end, and a table that shrinks meanwhile does no harm.
func TestMeasureInSteps(t *testing.T) {
	w := newTestWorld(t, Limits{Budget: 1 << 40, Deadline: time.Minute}, `
		local keep = {}
		for i = 1, 5000 do keep[i] = {keep, i} end
		for i = 1, 5000 do keep["k" .. i] = keep end
		function shrink() for i = #keep, 1, -1 do keep[i] = nil end for k in pairs(keep) do keep[k] = nil end end
		function get() return keep end`)
	whole := measured(w)
	m, steps := w.NewMeasure(), 0
	for ; !m.Step(10); steps++ {
		if steps == 100 {
			if _, err := w.Call(fn(t, w, "shrink"), CallOptions{}, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if steps < 101 || m.Bytes() >= whole {
		t.Errorf("%d steps, %d bytes; %d before", steps, m.Bytes(), whole)
	}
	if m := w.NewMeasure(lua.LString("x")); m.Bytes() == 0 {
		t.Error("what the embedder adds does not count")
	}
}
