package scripting

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core"
)

// leaking keeps something of each message, as rules do by mistake.
const leaking = `
local seen, loads = {}, 0
mqtt.on("load", function(state) loads = loads + 1 kv.incr("loads") assert(state == nil) end)
mqtt.every(3600, function() kv.incr("ticks") end)
mqtt.on("publish", function(m)
	seen[#seen + 1] = { topic = m.topic, payload = m.payload .. #seen, at = {#seen} }
	kv.incr("events")
	m.topic = "seen"
end)`

// TestLeakIsNoticedAndRebuilt: a rule that leaks a table per message is told of,
// then its world begins anew; no event is lost or refused meanwhile.
func TestLeakIsNoticedAndRebuilt(t *testing.T) {
	r := rules(t, leaking, func(o *Options) { o.Memory = minMemory })
	var publishers sync.WaitGroup
	stop := make(chan struct{})
	publish := func() {
		d, ev := r.publish("a", strings.Repeat("x", 1000))
		if d.Verdict != core.Pass || ev.Message.Topic != "seen" {
			t.Errorf("%+v, topic %s", d, ev.Message.Topic)
		}
	}
	published := make([]float64, 2)
	for i := range published {
		publishers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					published[i] = float64(n)
					return
				default:
					publish()
				}
			}
		})
	}
	var m memories
	now := time.Unix(1, 0)
	for r.rebuilt() < 2 {
		now = now.Add(memoryEvery)
		r.watchMemory(context.Background(), &m, now, math.MaxInt64)
	}
	close(stop)
	publishers.Wait()
	for name, want := range map[string]float64{"events": published[0] + published[1], "loads": 3} {
		if n, _ := r.kv.Bucket("").Get(name); n != want {
			t.Errorf("kv has %v %s, want %v", n, name, want)
		}
	}
	for _, l := range r.log.errors() {
		if !strings.Contains(l, "was too large and was rebuilt") || !strings.Contains(l, "largest=seen, ") {
			t.Errorf("logged %s", l)
		}
	}
	if n := r.current.timers.count; n != 1 {
		t.Errorf("there are %d timers: those of the old worlds have not ended", n)
	}
	loads, _ := r.Worlds()
	if loads[0].Rebuilt != 2 {
		t.Errorf("the status says %+v", loads)
	}
}

func (r *rig) rebuilt() uint64 { return r.current.seats[0].rebuilt.Load() }

// TestMemoryAlarm: from four fifths on it is told, in the log once and on $SYS as
// long as it lasts.
func TestMemoryAlarm(t *testing.T) {
	r := rules(t, `
		local keep = {}
		mqtt.on("publish", function(m)
			if m.payload == "" then keep = {} else keep[#keep + 1] = m.payload .. #keep end
		end)`, func(o *Options) { o.Memory = minMemory })
	look := func() {
		r.checkMemory(context.Background(), r.current, 0)
		r.showAlarms()
	}
	warnings := func() (n int) {
		for _, l := range r.log.all() {
			if strings.Contains(l, "is about to be too large") && strings.Contains(l, "largest=keep, ") {
				n++
			}
		}
		return n
	}
	look()
	if s := r.host.status("memory"); s != "" || warnings() != 0 {
		t.Errorf("at first $SYS says %q", s)
	}
	for warnings() == 0 {
		for range 50 {
			r.publish("a", strings.Repeat("x", 1000))
		}
		look()
	}
	if s := r.host.status("memory"); !strings.HasPrefix(s, "world 1: 3.") || !strings.HasSuffix(s, " of 4.0 MiB") {
		t.Errorf("$SYS says %q", s)
	}
	if look(); warnings() != 1 {
		t.Errorf("%d warnings", warnings())
	}
	r.publish("a", "")
	if look(); r.host.status("memory") != "" || r.rebuilt() != 0 {
		t.Errorf("when all is well again $SYS says %q", r.host.status("memory"))
	}
	r.clean()
}

// TestRebuildThatFails leaves the world as it is, and says so.
func TestRebuildThatFails(t *testing.T) {
	r := rules(t, `
		local n = 0
		mqtt.on("load", function() if kv.incr("loads") > 1 then error("no") end end)
		mqtt.on("publish", function(m) n = n + 1 m.payload = tostring(n) end)`)
	r.publish("a", "")
	r.rebuild(context.Background(), r.current, 0, 1)
	if _, ev := r.publish("a", ""); string(ev.Message.Payload) != "2" || r.rebuilt() != 0 {
		t.Errorf("payload %s, rebuilt %d times", ev.Message.Payload, r.rebuilt())
	}
	if l := strings.Join(r.log.errors(), "\n"); !strings.Contains(l, "cannot be rebuilt") || !strings.Contains(l, "10.lua:3: no") {
		t.Errorf("logged %s", l)
	}
}

// TestMemoryIsMeasuredWhenItMatters: not while the whole process has less than a
// world may have, not too often, and at once after a jump.
func TestMemoryIsMeasuredWhenItMatters(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() end)`)
	var m memories
	now := time.Unix(1, 0)
	look := func(after time.Duration, heap int64, want bool) {
		t.Helper()
		now = now.Add(after)
		before := m.measured
		if r.watchMemory(context.Background(), &m, now, heap); m.measured.Equal(before) == want {
			t.Errorf("after %v with %d bytes: measured %v", after, heap, !want)
		}
		m.heap = heap
	}
	limit := r.options.Memory
	look(time.Hour, limit/2, false)
	look(0, limit, true)
	look(memoryLook, limit, false)
	look(memoryLook, 2*limit, true)
	look(memoryEvery, limit, true)
	if n := r.current.seats[0].memory.Load(); n <= 0 || n > 2<<20 {
		t.Errorf("an empty world takes %d bytes", n)
	}
}
