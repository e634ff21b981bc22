package scripting

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"lunamq/core"
	"lunamq/core/packet"
	"lunamq/core/topic"
)

var _ Host = (*core.Broker)(nil)

// TestOnABroker: the hooks and the status are taken by a real broker.
func TestOnABroker(t *testing.T) {
	b, err := core.New(core.DefaultOptions())
	must(t, err)
	defer b.Close()
	log := new(record)
	r := newRig(t, map[string]string{"10.lua": `
		for _, name in ipairs{"connect", "connected", "disconnected", "publish", "will", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "deliver", "dropped"} do
			mqtt.on(name, function() end)
		end
		mqtt.on("publish", "again", function(m) mqtt.publish{topic = "done", payload = m.client.id .. m.origin, retain = true} end)
		mqtt.on("deliver", "#", function(m) end)`})
	e := New(b, Options{Dir: r.options.Dir, Log: slog.New(log)})
	must(t, e.Start(context.Background()))
	must(t, b.Publish(nil, core.Message{Topic: "again", Origin: core.OriginScript}, true))
	must(t, e.Stop(context.Background()))
	for _, l := range log.all() {
		if l[:4] != "INFO" {
			t.Errorf("logged %s", l)
		}
	}
	if n := e.HandlerCounts()[3].Verdicts["pass"]; n != 1 {
		t.Errorf("the publish handler ran %d times", n)
	}
}

// TestVerifyPasswordLetsOthersRun: it takes long, so the world is free meanwhile.
func TestVerifyPasswordLetsOthersRun(t *testing.T) {
	r := rules(t, `
		mqtt.on("publish", "slow", function(m)
			kv.set("in", true)
			local ok = crypto.verify_password("x", m.payload)
			kv.delete("in")
			assert(m.topic == "slow" and m.client.id == "gw-7")
			return ok
		end)
		mqtt.on("publish", "fast", function() return kv.get("in") == true end)`,
		func(o *Options) { o.WaitLimit = time.Minute })
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), 11)
	must(t, err)
	var slow core.Decision
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		slow, _ = r.publish("slow", string(hash))
	})
	between := false
	for !between {
		d, _ := r.publish("fast", "")
		between = d.Verdict == core.Allow
		select {
		case <-done:
			if !between {
				t.Error("nothing ran while a password was checked")
			}
			between = true
		default:
		}
	}
	wg.Wait()
	if slow.Verdict != core.Allow {
		t.Errorf("%+v", slow)
	}
	r.clean()
}

// TestEndlessHandlers: a rule that never ends costs its own event alone.
func TestEndlessHandlers(t *testing.T) {
	for _, statement := range []string{
		`while true do end`,
		`while true do pcall(error) end`,
		`(("a"):rep(100000)):find("a*a*a*a*b")`,
		`local s = "x"; while true do s = s .. s end`,
		`while true do local x = ev.payload end`,
		`while true do ev.payload = "x" end`,
		`while true do kv.get("a") end`,
		`while true do mqtt.match("a/+", "a/b") end`,
		`while true do ev.user_properties:add("a", "b"); ev.user_properties = nil end`,
		`while true do log.debug("x") end`,
		`while true do json.decode("[1,2,3]") end`,
		`while true do rate.limiter(1, 1) end`,
		`while true do time.format(0) end`,
		`local co = coroutine.wrap(function() while true do ev.topic = "x" end end); co()`,
	} {
		r := rules(t, "mqtt.on('publish', {budget = 100000}, function(ev) "+statement+" end)")
		d, ev := r.publish("a", "payload")
		if d.Verdict != core.Deny || d.Reason != packet.UnspecifiedError || ev.Message.Topic != "a" {
			t.Errorf("%s: %+v", statement, d)
		}
		r.failedWith("by=10.lua:1")
	}
}

func FuzzAssignTopic(f *testing.F) {
	for _, s := range []string{"a/b", "", "+", "a/#", "\x00", "\xff", "$SYS/x", "é"} {
		f.Add(s)
	}
	h := publishHookOf(f, `mqtt.on("publish", {on_error = "pass"}, function(m) m.topic = m.payload return true end)`)
	f.Fuzz(func(t *testing.T, s string) {
		ev := newPublish("old", s)
		d := h.OnPublish(ev)
		valid := topic.CheckName(s) == nil && packet.ValidString(s) && topic.Levels(s) <= core.DefaultOptions().TopicLevels && !isSys(s)
		if valid != (d.Verdict == core.Allow) || valid && ev.Message.Topic != s || !valid && ev.Message.Topic != "old" {
			t.Errorf("%q: valid %v, %+v, topic %q", s, valid, d, ev.Message.Topic)
		}
	})
}
