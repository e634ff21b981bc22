package scripting

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lunamq/core"
)

const overrunning = `
mqtt.on("publish", {budget = 1000}, function(m)
	kv.incr("asked")
	if m.payload == "bad" then while true do end end
	return true
end)`

// asked is how often the handler of overrunning was called.
func (r *rig) asked() float64 {
	n, _ := r.kv.Bucket("").Get("asked")
	f, _ := n.(float64)
	return f
}

// provoke makes a client's events overrun n times.
func (r *rig) provoke(client string, n int) {
	for range n {
		r.onPublish(from(client, "bad"))
	}
}

// TestPauseForOneClient: what one client provokes closes the handler to it alone,
// and closed is refused.
func TestPauseForOneClient(t *testing.T) {
	r := rules(t, overrunning)
	r.provoke("evil", pauseOne+5)
	if r.asked() != pauseOne {
		t.Errorf("it was called %v times", r.asked())
	}
	if d := r.onPublish(from("evil", "good")); d.Verdict != core.Deny || d.By != "10.lua:2" {
		t.Errorf("the client for which it is paused: %+v", d)
	}
	if d := r.onPublish(from("good", "good")); d.Verdict != core.Allow {
		t.Errorf("another client: %+v", d)
	}
	c := r.HandlerCounts()[0]
	if c.Overruns != pauseOne || c.Skipped != 6 || c.Pauses != 1 || *c.Paused != (Paused{Clients: 1}) {
		t.Errorf("%+v, %+v", c, c.Paused)
	}
	said := slices.DeleteFunc(r.log.errors(), func(l string) bool { return !strings.Contains(l, "is paused") })
	if len(said) != 1 || !strings.Contains(said[0], "by=10.lua:4") || !strings.Contains(said[0], "client=evil") || !strings.Contains(said[0], "comes_to=deny") {
		t.Errorf("logged %q", said)
	}
	r.showAlarms()
	if s := r.host.status("paused"); s != "10.lua:2: publish handler: paused for 1 client" {
		t.Errorf("$SYS says %q", s)
	}
	r.now = r.now.Add(pauseFirst)
	if d := r.onPublish(from("evil", "good")); d.Verdict != core.Allow {
		t.Errorf("when the pause is over: %+v", d)
	}
	r.showAlarms()
	if s := r.host.status("paused"); s != "" || r.HandlerCounts()[0].Paused != nil {
		t.Errorf("when the pause is over, $SYS says %q", s)
	}
}

// TestPauseForAll: what several clients provoke.
func TestPauseForAll(t *testing.T) {
	r := rules(t, overrunning)
	for i := range pauseOverruns {
		r.provoke(fmt.Sprint("client ", i%pauseClients), 1)
	}
	before := r.asked()
	if d := r.onPublish(from("good", "good")); d.Verdict != core.Deny || r.asked() != before {
		t.Errorf("%+v", d)
	}
	c := r.HandlerCounts()[0]
	if c.Paused == nil || c.Paused.Until == nil || !c.Paused.Until.Equal(r.now.Add(pauseFirst)) {
		t.Errorf("%+v", c.Paused)
	}
	r.showAlarms()
	if s := r.host.status("paused"); !strings.Contains(s, "10.lua:2: publish handler: paused until ") {
		t.Errorf("$SYS says %q", s)
	}
	must(t, r.replaceWith("10.lua", overrunning+"--"))
	if d := r.onPublish(from("good", "good")); d.Verdict != core.Allow || r.host.status("paused") != "" {
		t.Errorf("after a reload: %+v, $SYS says %q", d, r.host.status("paused"))
	}
}

// TestPausesGrow: each is twice as long as the last, until there was peace.
func TestPausesGrow(t *testing.T) {
	r := rules(t, overrunning)
	for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, pauseLongest, pauseLongest} {
		r.provoke("evil", pauseOne)
		r.now = r.now.Add(want - 1)
		before := r.asked()
		if r.provoke("evil", 1); r.asked() != before {
			t.Fatalf("the pause was shorter than %v", want)
		}
		r.now = r.now.Add(1)
		if r.onPublish(from("evil", "good")); r.asked() == before {
			t.Fatalf("the pause is longer than %v", want)
		}
	}
	r.now = r.now.Add(pauseLongest + 1)
	r.provoke("evil", pauseOne)
	r.now = r.now.Add(pauseFirst)
	if d := r.onPublish(from("evil", "good")); d.Verdict != core.Allow {
		t.Errorf("after a long peace the pause is short again: %+v", d)
	}
}

// TestSomeOverrunsAreNoPause: those that come slowly, or of two clients.
func TestSomeOverrunsAreNoPause(t *testing.T) {
	r := rules(t, overrunning)
	for range 3 * pauseOne {
		r.provoke("slow", 1)
		r.now = r.now.Add(pauseSpan / (pauseOne - 2))
	}
	if r.asked() != 3*pauseOne {
		t.Errorf("called %v times", r.asked())
	}
	r.now = r.now.Add(time.Hour)
	for range pauseOne - 1 {
		r.provoke("a", 1)
		r.provoke("b", 1)
	}
	if c := r.HandlerCounts()[0]; c.Skipped != 0 || c.Pauses != 0 {
		t.Errorf("%+v", c)
	}
}

// TestPauseWithOnErrorPass: what may fail open is let through without a call.
func TestPauseWithOnErrorPass(t *testing.T) {
	r := rules(t, strings.Replace(overrunning, "{", `{on_error = "pass", `, 1))
	r.provoke("evil", pauseOne)
	if d := r.onPublish(from("evil", "bad")); d.Verdict != core.Pass || r.asked() != pauseOne {
		t.Errorf("%+v, called %v times", d, r.asked())
	}
}

// TestTimersArePaused: a timer's function that overruns again and again, too.
func TestTimersArePaused(t *testing.T) {
	c := newClocked(t, `mqtt.every(1, function() kv.incr("asked") while true do end end)`, func(o *Options) { o.Budget = 1000 })
	for range 2 * pauseOne {
		c.advance(time.Second)
	}
	if c.asked() != pauseOne {
		t.Errorf("called %v times", c.asked())
	}
	c.advance(pauseFirst)
	if c.asked() == pauseOne {
		t.Error("it does not go on")
	}
}

// TestPausesAreBounded: of many clients that overrun now and then little is kept.
func TestPausesAreBounded(t *testing.T) {
	var p pauses
	now := time.Unix(1, 0)
	for i := range 3 * maxPaused {
		p.strike(now.Add(time.Duration(i)*time.Second), uint64(i))
	}
	if len(p.payers) > maxPaused {
		t.Errorf("%d clients are remembered", len(p.payers))
	}
}

// TestOverrunsUnderLoad: many clients at once, with -race.
func TestOverrunsUnderLoad(t *testing.T) {
	r := rules(t, overrunning, func(o *Options) { o.Workers = 2 })
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range 50 {
				r.onPublish(from(fmt.Sprint(i), []string{"bad", "good"}[n%2]))
				r.HandlerCounts()
				r.showAlarms()
			}
		}()
	}
	for range 4 {
		<-done
	}
	must(t, r.Reload(context.Background()))
}
