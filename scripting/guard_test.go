package scripting

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// good and bad are rules of which a share of the calls fails: those whose topic
// is "x".
const (
	good = `mqtt.on("publish", function(m) end)`
	bad  = `mqtt.on("publish", function(m) if m.topic == "x" then error("bad") end end)`
)

// guarded is a rig in which the good rules were replaced by bad ones.
func guarded(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, map[string]string{"10.lua": good}, append([]func(*Options){func(o *Options) { o.RollbackErrors = 0.2 }}, change...)...)
	must(t, r.Reload(t.Context()))
	r.from("a", 10, "x")
	writeFile(t, r.options.Dir+"/10.lua", bad)
	must(t, r.Reload(t.Context()))
	return r
}

// from publishes n messages of a client.
func (r *rig) from(client string, n int, topic string) {
	r.t.Helper()
	for range n {
		ev := newPublish(topic, "")
		ev.Client = &core.Client{ID: client, Protocol: packet.V5}
		r.onPublish(ev)
	}
}

// settleSpike does what guardLoop does, if it was woken.
func (r *rig) settleSpike() {
	select {
	case g := <-r.spikes:
		r.checkSpike(r.t.Context(), g)
	default:
	}
}

func TestASpikeOfErrorsIsGoneBackFrom(t *testing.T) {
	r := guarded(t)
	for _, client := range []string{"a", "b", "c"} {
		r.from(client, 5, "x")
	}
	r.settleSpike()
	if s := r.Status(); s.Generation != 1 || s.OK || !strings.Contains(s.Err, "by itself: 100.0% of the calls failed, 0.0% in generation 1") {
		t.Errorf("status %+v", s)
	}
	r.wantListed("2 barred, 1 running")
	if all := strings.Join(r.log.errors(), "\n"); !strings.Contains(all, "rolled back by itself") {
		t.Errorf("logged %s", all)
	}
	must(t, r.look())
	if g := r.Status().Generation; g != 1 {
		t.Errorf("the barred files are back, as generation %d", g)
	}
	must(t, r.ReloadFor(t.Context(), Request{By: "ann", Force: true})) // an operator knows better
	for _, client := range []string{"a", "b", "c"} {
		r.from(client, 50, "x")
	}
	r.settleSpike()
	if g := r.Status().Generation; g != 3 {
		t.Errorf("generation %d", g)
	}
}

func TestNoSpike(t *testing.T) {
	all := func(r *rig, n int) {
		for _, client := range []string{"a", "b", "c", "d"} {
			r.from(client, n, "x")
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		events func(r *rig)
	}{
		{"off", func(o *Options) { o.RollbackErrors = 0 }, func(r *rig) { all(r, 100) }},
		{"one client", nil, func(r *rig) { r.from("a", 100, "x") }},
		{"two clients", nil, func(r *rig) { r.from("a", 100, "x"); r.from("b", 100, "x") }},
		{"rules' own messages", nil, func(r *rig) {
			for i := range 100 {
				ev := newPublish("x", "")
				ev.Client = &core.Client{ID: fmt.Sprint("$script", i)}
				r.onPublish(ev)
			}
		}},
		{"few errors", nil, func(r *rig) { all(r, spikeErrors/4) }},
		{"a low rate", nil, func(r *rig) { r.from("a", 10_000, "fine"); all(r, 100) }},
		{"too late", nil, func(r *rig) { r.now = r.now.Add(time.Minute + time.Second); all(r, 100) }},
		{"already gone back", nil, func(r *rig) { all(r, 100); must(r.t, r.Rollback(r.t.Context(), 0, "ann")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*Options)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			r := guarded(t, change...)
			tt.events(r)
			r.settleSpike()
			if all := strings.Join(r.log.all(), "\n"); strings.Contains(all, "rolled back by itself") {
				t.Errorf("logged %s", all)
			}
		})
	}
}

// What failed before as much is no reason to go back.
func TestAsBadAsBefore(t *testing.T) {
	r := newRig(t, map[string]string{"10.lua": bad}, func(o *Options) { o.RollbackErrors = 0.2 })
	must(t, r.Reload(t.Context()))
	r.from("a", 10, "x")
	writeFile(t, r.options.Dir+"/10.lua", bad+"-- changed")
	must(t, r.Reload(t.Context()))
	for _, client := range []string{"a", "b", "c"} {
		r.from(client, 100, "x")
	}
	r.settleSpike()
	if g := r.Status().Generation; g != 2 {
		t.Errorf("generation %d", g)
	}
}

// Two bad generations in a row: the one gone back to has no guard, so there is
// one step back at most.
func TestASpikeIsGoneBackFromOnce(t *testing.T) {
	r := guarded(t)
	writeFile(t, r.options.Dir+"/10.lua", `mqtt.on("publish", function() error("worse") end)`)
	r.from("a", 80, "fine")
	r.from("a", 1, "x")
	must(t, r.Reload(t.Context()))
	for range 2 {
		for _, client := range []string{"a", "b", "c"} {
			r.from(client, 50, "x")
		}
		r.settleSpike()
	}
	if g := r.Status().Generation; g != 2 {
		t.Errorf("generation %d", g)
	}
}

// With everything running: the rules go back while their clients fail.
func TestGuardLoop(t *testing.T) {
	l := startLive(t, map[string]string{"10.lua": good}, func(l *live) { l.options.RollbackErrors = 0.1 })
	l.write("10.lua", bad)
	l.await(func() bool { return l.Status().Generation == 2 })
	for i := range 2 * spikeErrors {
		l.from(fmt.Sprint("client ", i), 1, "x")
	}
	l.await(func() bool { return l.Status().Generation == 1 })
}
