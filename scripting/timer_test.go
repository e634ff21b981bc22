package scripting

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lunamq/core"
)

// clocked is a rig whose timers go by its own clock.
type clocked struct {
	*rig
	mu   sync.Mutex
	wake []*alarm
}

// alarm stands for a *time.Timer.
type alarm struct {
	at      time.Time
	do      func()
	stopped bool
}

func (a *alarm) Stop() bool { a.stopped = true; return true }

func newClocked(t *testing.T, source string, change ...func(*Options)) *clocked {
	t.Helper()
	c := &clocked{rig: newRig(t, map[string]string{"10.lua": source}, change...)}
	c.afterFunc = func(d time.Duration, do func()) stopper {
		c.mu.Lock()
		defer c.mu.Unlock()
		a := &alarm{at: c.now.Add(d), do: do}
		c.wake = append(c.wake, a)
		return a
	}
	must(t, c.Reload(context.Background()))
	return c
}

// advance moves the clock, step by step.
func (c *clocked) advance(d time.Duration) {
	for end := c.now.Add(d); ; {
		due := c.due(end)
		if due == nil {
			c.now = end
			return
		}
		if due.at.After(c.now) {
			c.now = due.at
		}
		due.do()
	}
}

// due takes out the next alarm until then.
func (c *clocked) due(end time.Time) *alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = slices.DeleteFunc(c.wake, func(a *alarm) bool { return a.stopped || a.at.After(end) && a.do == nil })
	best := -1
	for i, a := range c.wake {
		if !a.at.After(end) && (best < 0 || a.at.Before(c.wake[best].at)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	a := c.wake[best]
	c.wake = slices.Delete(c.wake, best, best+1)
	return a
}

// said are the payloads of the messages that rules published since last asked.
func (c *clocked) said() string {
	var out []string
	for _, m := range c.host.sent() {
		out = append(out, m.Topic)
	}
	c.host.mu.Lock()
	c.host.published = nil
	c.host.mu.Unlock()
	return strings.Join(out, " ")
}

func (c *clocked) wantSaid(want string) {
	c.t.Helper()
	if got := c.said(); got != want {
		c.t.Errorf("published %q, want %q", got, want)
	}
}

func TestTimers(t *testing.T) {
	c := newClocked(t, `
local function say(what) return function() mqtt.publish{topic = what} end end
local tick = mqtt.every(10, say("tick"))
mqtt.after(25, say("once"))
mqtt.after(0, say("first"))
mqtt.after(10, say("second at ten"))
local gone = mqtt.after(1, say("never"))
assert(gone:cancel() == true and gone:cancel() == false)
mqtt.on("publish", "stop", function() return tick:cancel() end)
mqtt.on("publish", "later", function(m) local p = m.payload; mqtt.after(5, function() mqtt.publish{topic = "said " .. p} end) end)`)
	c.advance(0)
	c.wantSaid("first")
	c.advance(9 * time.Second)
	c.wantSaid("")
	c.advance(time.Second)
	c.wantSaid("tick second at ten")
	c.advance(20 * time.Second)
	c.wantSaid("tick once tick")
	c.publish("later", "hello")
	c.advance(4 * time.Second)
	c.wantSaid("")
	c.advance(time.Second)
	c.wantSaid("said hello")
	if d, _ := c.publish("stop", ""); d.Verdict != core.Allow {
		t.Errorf("cancel: %+v", d)
	}
	c.advance(time.Hour)
	c.wantSaid("")
	c.clean()
}

func TestTimerThatCancelsItself(t *testing.T) {
	c := newClocked(t, `
local n, t = 0
t = mqtt.every(1, function()
	n = n + 1
	if n == 3 then assert(t:cancel() and not t:cancel()) end
	mqtt.publish{topic = tostring(n)}
end)`)
	c.advance(time.Minute)
	c.wantSaid("1 2 3")
	c.clean()
}

// TestTimerDoesNotCatchUp: after a long time without the machine, an every fires
// once and keeps its beat.
func TestTimerDoesNotCatchUp(t *testing.T) {
	c := newClocked(t, `mqtt.every(10, function() mqtt.publish{topic = tostring(time.now())} end)`)
	c.now = c.now.Add(35 * time.Second)
	c.advance(0)
	c.advance(5 * time.Second)
	c.wantSaid("1700000035.5 1700000040.5")
}

func TestTimerFails(t *testing.T) {
	c := newClocked(t, `mqtt.every(1, function() mqtt.publish{topic = "x"}; mqtt.publish{topic = "alarm", always = true}; error("boom") end)`)
	c.advance(2 * time.Second)
	c.wantSaid("alarm alarm")
	c.failedWith("10.lua:1", "timer handler", "boom")
}

func TestTimersEndWithTheirGeneration(t *testing.T) {
	c := newClocked(t, `mqtt.every(1, function() mqtt.publish{topic = "old"} end)
		mqtt.on("publish", function() mqtt.after(1, function() mqtt.publish{topic = "late"} end) end)`)
	c.advance(time.Second)
	c.wantSaid("old")
	h, _ := hookOf[core.PublishHook](c.host)
	save := func(source string) error {
		writeFile(t, filepath.Join(c.options.Dir, "10.lua"), source)
		return c.Reload(context.Background())
	}
	if save(`mqtt.every(1, function() mqtt.publish{topic = "broken"} end) error("x")`) == nil {
		t.Error("a broken set was taken")
	}
	c.advance(time.Second)
	c.wantSaid("old")
	must(t, save(`mqtt.every(1, function() mqtt.publish{topic = "new"} end)`))
	h.OnPublish(newPublish("x", "")) // an event under way may still make one: it never fires
	c.advance(2 * time.Second)
	c.wantSaid("new new")
	must(t, c.Stop(context.Background()))
	c.advance(time.Hour)
	c.wantSaid("")
	if n := c.current.timers.count; n != 0 {
		t.Errorf("%d timers are left", n)
	}
	c.clean()
}

// TestTimersFileScopeOnceInManyWorlds: made at file scope they run in the first
// world, made in a handler in that handler's.
func TestTimersFileScopeOnceInManyWorlds(t *testing.T) {
	c := newClocked(t, `
local mine = {}
mqtt.every(1, function() mqtt.publish{topic = "file", payload = tostring(mine.nr)} end)
mqtt.on("publish", function(m) mine.nr = m.payload; mqtt.after(1, function() mqtt.publish{topic = "handler " .. mine.nr} end) end)`,
		func(o *Options) { o.Workers = 3 })
	c.current.world(0).Lock()
	c.current.world(1).Lock()
	c.publish("x", "3")
	c.current.world(1).Unlock()
	c.current.world(0).Unlock()
	c.advance(time.Second)
	sent := c.host.sent()
	if len(sent) != 2 || string(sent[0].Payload) != "nil" || sent[1].Topic != "handler 3" {
		t.Errorf("sent %+v", sent)
	}
	c.clean()
}

func TestTimersAreBounded(t *testing.T) {
	c := newClocked(t, fmt.Sprintf(`
for i = 1, %d do mqtt.after(1, function() end) end
mqtt.on("publish", function() mqtt.after(1, function() end) end)`, maxTimers-1), func(o *Options) { o.Budget = 100_000_000 })
	if d, _ := c.publish("a", ""); d.Verdict != core.Pass {
		t.Errorf("%+v", d)
	}
	if d, _ := c.publish("a", ""); d.Verdict != core.Deny {
		t.Errorf("%+v", d)
	}
	c.failedWith("there are 10000 timers")
	c.advance(time.Second)
	if n := c.current.timers.count; n != 0 {
		t.Errorf("%d timers are counted after all have fired", n)
	}
}

func TestTimerArguments(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`mqtt.every(0.001, print)`, "mqtt.every: seconds must be at least 0.01, not 0.001"},
		{`mqtt.every(0, print)`, "mqtt.every: seconds must be at least 0.01"},
		{`mqtt.after(1e12, print)`, "mqtt.after: seconds must be less than 292 years, not 1e+12"},
		{`mqtt.after(-1, print)`, "mqtt.after: seconds must be at least 0, not -1"},
		{`mqtt.after(0/0, print)`, "mqtt.after: seconds must be a finite number"},
		{`mqtt.after("x", print)`, "mqtt.after: seconds must be a number"},
		{`mqtt.after(1, "x")`, "mqtt.after: want (seconds, function)"},
		{`mqtt.after(1, print, 1)`, "mqtt.after takes at most 2 arguments"},
		{`mqtt.after(1, print).cancel()`, "timer:cancel: call it with a colon"},
		{`mqtt.after(1, print).stop()`, `timer has no field "stop"`},
	} {
		refusal(t, "publish", c.statement, c.want)
	}
}

// TestTimersByTheRealClock: the seconds are seconds, in virtual time.
func TestTimersByTheRealClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rules(t, `mqtt.every(0.5, function() mqtt.publish{topic = "x"} end)`, func(o *Options) { o.Now = time.Now })
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n := len(r.host.sent()); n != 20 {
			t.Errorf("fired %d times in ten seconds", n)
		}
		must(t, r.Stop(context.Background()))
		r.clean()
	})
}
