package scripting

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
)

// replaceWith saves one file and takes it over.
func (r *rig) replaceWith(name, source string) error {
	r.t.Helper()
	writeFile(r.t, filepath.Join(r.options.Dir, name), source)
	return r.Reload(context.Background())
}

// counter is a rule whose state goes from generation to generation.
const counter = `
local n = { count = 0 }
mqtt.on("load", function(state) if state then n = state end; kv.incr("loads"); mqtt.publish{topic = "loaded", payload = tostring(n.count)} end)
mqtt.on("unload", function() kv.incr("unloads"); return n end)
mqtt.on("publish", "count", function(m) n.count = n.count + 1; m.payload = tostring(n.count) end)
`

func (r *rig) counted(want string) {
	r.t.Helper()
	if _, ev := r.publish("count", ""); string(ev.Message.Payload) != want {
		r.t.Errorf("counted %s, want %s", ev.Message.Payload, want)
	}
}

func TestStateIsHandedOver(t *testing.T) {
	r := rules(t, counter)
	if sent := r.host.sent(); len(sent) != 1 || string(sent[0].Payload) != "0" {
		t.Errorf("at start: %+v", sent)
	}
	r.counted("1")
	r.counted("2")
	must(t, r.replaceWith("10.lua", counter+"-- changed"))
	r.counted("3")
	must(t, r.replaceWith("20.lua", `mqtt.on("load", function(state) assert(state == nil); kv.set("other", true) end)`))
	r.counted("4")
	for key, want := range map[string]any{"loads": 3.0, "unloads": 2.0, "other": true} {
		if got, _ := r.kv.Bucket("").Get(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if sent := r.host.sent(); len(sent) != 3 || string(sent[2].Payload) != "3" {
		t.Errorf("load published %+v", sent)
	}
	r.clean()
}

func TestStateGoesWorldToWorld(t *testing.T) {
	source := `
local mine
mqtt.on("load", function(state) mine = state or kv.incr("worlds") end)
mqtt.on("unload", function() return mine end)
mqtt.on("publish", function(m) m.payload = tostring(mine) end)`
	r := rules(t, source, func(o *Options) { o.Workers = 3 })
	must(t, r.replaceWith("10.lua", source+"--"))
	for i := range 3 {
		for nr := range r.current.seats {
			if nr != i {
				r.current.world(nr).Lock()
			}
		}
		if _, ev := r.publish("a", ""); string(ev.Message.Payload) != fmt.Sprint(i+1) {
			t.Errorf("world %d has the state %s", i+1, ev.Message.Payload)
		}
		for nr := range r.current.seats {
			if nr != i {
				r.current.world(nr).Unlock()
			}
		}
	}
	r.clean()
}

// TestFailedLoadLeavesTheOldOne: with its state, its timers and nothing published.
func TestFailedLoadLeavesTheOldOne(t *testing.T) {
	c := newClocked(t, counter+`mqtt.every(10, function() mqtt.publish{topic = "tick"} end)`)
	c.wantSaid("loaded")
	c.counted("1")
	for _, load := range []string{
		`error("no")`, `return 1`, `mqtt.publish{topic = "a/+"}`, `return mqtt.deny()`,
	} {
		err := c.replaceWith("20.lua", `mqtt.on("load", {on_error = "pass"}, function() mqtt.publish{topic = "discarded"}; `+load+` end)`)
		if err == nil || !strings.Contains(err.Error(), "20.lua:1") {
			t.Errorf("%s: %v", load, err)
		}
		if s := c.Status(); s.OK || s.Generation != 1 {
			t.Errorf("%s: %+v", load, s)
		}
	}
	c.wantSaid("")
	c.counted("2")
	c.advance(10 * time.Second)
	c.wantSaid("tick")
	must(t, c.replaceWith("20.lua", ``))
	c.counted("3")
	c.advance(10 * time.Second)
	c.wantSaid("loaded tick") // load ran in the fifth generation, whose timers count from its making
}

func TestFailedLoadAtStartIsFatal(t *testing.T) {
	text := loadError(t, `mqtt.on("load", function()
		error("no database") end)`)
	if !strings.HasPrefix(text, "10.lua:2:") || !strings.Contains(text, "no database") {
		t.Errorf("%s", text)
	}
}

// TestBrokenUnload keeps the old rules once, and is passed over then: a set must
// not be impossible to replace.
func TestBrokenUnload(t *testing.T) {
	r := rules(t, `mqtt.on("unload", function() return print end) `+mark("m", "old"))
	err := r.replaceWith("10.lua", mark("m", "new"))
	if err == nil || !strings.Contains(err.Error(), "10.lua:1: unload returned a function: it returns plain values") {
		t.Errorf("%v", err)
	}
	if _, ev := r.publish("m", ""); string(ev.Message.Payload) != "old" {
		t.Errorf("%s runs", ev.Message.Payload)
	}
	must(t, r.Reload(context.Background()))
	if _, ev := r.publish("m", ""); string(ev.Message.Payload) != "new" {
		t.Errorf("%s runs", ev.Message.Payload)
	}
}

func TestRegisterFailsAfterLoad(t *testing.T) {
	r := rules(t, counter)
	r.counted("1")
	r.host.refuse = errNoRoom
	if err := r.replaceWith("10.lua", counter+"--"); !errors.Is(err, errNoRoom) {
		t.Errorf("%v", err)
	}
	r.host.refuse = nil
	r.counted("2")
	if n := len(r.host.sent()); n != 1 {
		t.Errorf("%d messages, want that of the first load", n)
	}
}

func TestOneUnloadPerFile(t *testing.T) {
	text := loadError(t, "mqtt.on('unload', function() end)\nmqtt.on('unload', function() end)")
	if !strings.Contains(text, "10.lua:2") || !strings.Contains(text, "has one at 10.lua:1") {
		t.Error(text)
	}
	must(t, newRig(t, map[string]string{"1.lua": "mqtt.on('unload', function() end)", "2.lua": "mqtt.on('unload', function() end)"}).Reload(context.Background()))
}

// occupy puts an event inside the running generation, as a handler that waits does.
func (r *rig) occupy() (leave func()) {
	g := r.current
	if h := g.gate.enter(); h != nil {
		r.t.Fatal("the gate is closed")
	}
	return g.gate.leave
}

// TestEventsWaitForTheHandover: new events wait while an old one is inside, and
// then meet the new rules with the old state, none of them twice.
func TestEventsWaitForTheHandover(t *testing.T) {
	r := rules(t, counter, func(o *Options) { o.Handover = time.Hour })
	r.counted("1")
	old, _ := hookOf[core.PublishHook](r.host)
	g := r.current
	leave := r.occupy()
	writeFile(t, filepath.Join(r.options.Dir, "10.lua"), counter+"--")
	var all sync.WaitGroup
	all.Go(func() { must(t, r.Reload(context.Background())) })
	for g.gate.closing.Load() == nil { // the reload is on its way
		runtime.Gosched()
	}
	got := make(chan string, 10)
	for range 10 {
		all.Go(func() {
			ev := newPublish("count", "")
			old.OnPublish(ev)
			got <- string(ev.Message.Payload)
		})
	}
	if n, _ := r.kv.Bucket("").Get("unloads"); n != nil {
		t.Error("unload ran with an event inside")
	}
	leave()
	all.Wait()
	seen := make(map[string]bool)
	for range 10 {
		seen[<-got] = true
	}
	for i := 2; i <= 11; i++ {
		if !seen[fmt.Sprint(i)] {
			t.Errorf("nobody counted %d: %v", i, seen)
		}
	}
	r.counted("12")
	r.clean()
}

// TestHandlerThatIsGone: an event that waited for a handover, of which the new
// rules know nothing, goes on.
func TestHandlerThatIsGone(t *testing.T) {
	r := rules(t, `mqtt.on("unload", function() end) mqtt.on("publish", function() return false end)`)
	old, _ := hookOf[core.PublishHook](r.host)
	must(t, r.replaceWith("10.lua", ``))
	if d := old.OnPublish(newPublish("a", "")); d.Verdict != core.Pass {
		t.Errorf("%+v", d)
	}
}

// TestHandoverOverruns: with an event that does not leave, the old rules go on,
// and take events again.
func TestHandoverOverruns(t *testing.T) {
	r := rules(t, counter, func(o *Options) { o.Handover = time.Nanosecond })
	r.counted("1")
	leave := r.occupy()
	err := r.replaceWith("10.lua", counter+"--")
	if !errors.Is(err, errOverrun) {
		t.Errorf("%v", err)
	}
	r.counted("2")
	if r.current.number != 1 {
		t.Errorf("generation %d runs", r.current.number)
	}
	leave()
	r.options.Handover = time.Minute
	must(t, r.Reload(context.Background()))
	r.counted("3")
}

func TestPlainValues(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("{", depth) + strings.Repeat("}", depth)
	}
	for _, c := range []struct{ value, want string }{
		{`nil`, ""}, {`5`, ""}, {`"x"`, ""}, {`{1, {a = true}, [0.5] = "x"}`, ""}, {nested(maxPlainDepth), ""},
		{`json.decode('{"a":[]}')`, ""},
		{nested(maxPlainDepth + 1), "nested more than 32 deep"},
		{`print`, "a function"},
		{`{ [print] = 1 }`, "a function"},
		{`mqtt.deny()`, "a userdata"},
		{`setmetatable({}, {})`, "a metatable"},
		{`(function() local t = {}; t.t = t; return t end)()`, "holds itself"},
		{`(function() local t = {}; for i = 1, 60000 do t[i] = i end return t end)()`, "more than 100000 values"},
		{`(function() local t, s = {}, ("x"):rep(1000000); for i = 1, 17 do t[i] = s end return t end)()`, "more than 16777216 bytes"},
	} {
		r := rules(t, `mqtt.on("unload", function() return `+c.value+` end)`, func(o *Options) { o.Handover = time.Minute })
		err := r.replaceWith("10.lua", "")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.value, err, c.want)
		}
	}
}

// TestPlainIsACopy: what one world has another does not share.
func TestPlainIsACopy(t *testing.T) {
	x := newTable()
	x.RawSetString("a", lua.LNumber(1))
	y, err := plain(x)
	must(t, err)
	x.RawSetString("a", lua.LNumber(2))
	if got := y.(*lua.LTable).RawGetString("a"); got != lua.LNumber(1) {
		t.Errorf("the copy has %v", got)
	}
}

// TestReloadsWithStateOnASocket: a client counts on while the rules change under
// it, again and again: no message is lost or counted twice.
func TestReloadsWithStateOnASocket(t *testing.T) {
	x := onSocket(t, counter, func(_ *core.Options, o *Options) { o.Handover = time.Minute })
	c := x.connect("a")
	c.subscribe("count", 0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				x.save(fmt.Sprintf("%s-- %d", counter, i))
			}
		}
	}()
	for i := 1; i <= 2000; i++ {
		c.publish("count", "?")
		if _, got := c.message(); got != fmt.Sprint(i) {
			t.Fatalf("message %d was counted as %s", i, got)
		}
	}
	close(stop)
	<-stopped
	if x.Status().Generation < 2 {
		t.Error("nothing was reloaded")
	}
	x.clean()
}

func TestLoadPublishesOnASocket(t *testing.T) {
	x := onSocket(t, `mqtt.on("load", function() mqtt.publish{topic = "hello", payload = "from load", retain = true} end)`)
	c := x.connect("a")
	c.subscribe("hello", 0)
	c.wantMessage("hello", "from load")
	x.clean()
}
