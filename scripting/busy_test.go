package scripting

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestBusyWorldsAreReported(t *testing.T) {
	r := rules(t, good)
	var b busyness
	step := func(busy time.Duration) {
		r.inForce.world(0).busy.Add(int64(busy))
		r.now = r.now.Add(busyEvery)
		r.measure(&b, r.now)
	}
	warned := func() int { return strings.Count(strings.Join(r.log.all(), "\n"), "busy nearly all the time") }
	r.measure(&b, r.now)
	if loads, advice := r.Worlds(); len(loads) != 1 || loads[0] != (WorldLoad{World: 1}) || advice != "" {
		t.Errorf("before a measurement: %v %q", loads, advice)
	}
	step(busyEvery / 2)
	if loads, advice := r.Worlds(); len(loads) != 1 || loads[0] != (WorldLoad{World: 1, Busy: 0.5}) || advice != "" || warned() != 0 {
		t.Errorf("half busy: %v %q", loads, advice)
	}
	for range 3 {
		step(busyEvery * 95 / 100)
	}
	want := "raise [scripting] workers from 1"
	if runtime.GOMAXPROCS(0) == 1 {
		want = "make the busiest handlers cheaper"
	}
	if loads, advice := r.Worlds(); loads[0].Busy != 0.95 || !strings.Contains(advice, want) || warned() != 1 {
		t.Errorf("busy: %v %q, %d warnings", loads, advice, warned())
	}
	for range int(busyRemind / busyEvery) {
		step(busyEvery)
	}
	if warned() != 2 {
		t.Errorf("%d warnings in %v", warned(), busyRemind)
	}
	writeFile(t, r.options.Dir+"/10.lua", good+"-- changed")
	must(t, r.Reload(t.Context()))
	r.measure(&b, r.now)
	if loads, advice := r.Worlds(); len(loads) != 1 || loads[0] != (WorldLoad{World: 1}) || advice != "" {
		t.Errorf("a new generation: %v %q", loads, advice)
	}
}

// One idle world takes what comes: no advice.
func TestOneIdleWorldIsEnough(t *testing.T) {
	if a := adviceFor([]WorldLoad{{World: 1, Busy: 1}, {World: 2, Busy: 0.3}}); a != "" {
		t.Error(a)
	}
	many := make([]WorldLoad, runtime.GOMAXPROCS(0))
	for i := range many {
		many[i] = WorldLoad{World: i + 1, Busy: 1}
	}
	if a := adviceFor(many); !strings.Contains(a, "make the busiest handlers cheaper") {
		t.Errorf("%q", a)
	}
}

// What handlers do counts as load.
func TestHandlersMakeLoad(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() for i = 1, 10000 do end end)`)
	var b busyness
	began := time.Now()
	r.measure(&b, began)
	for range 20 {
		r.publish("a", "")
	}
	r.measure(&b, began.Add(time.Since(began)))
	if loads, _ := r.Worlds(); len(loads) != 1 || loads[0].Busy <= 0.01 {
		t.Errorf("%v", loads)
	}
}
