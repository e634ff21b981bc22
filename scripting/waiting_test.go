package scripting

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

// from is a publish event of a client.
func from(client, payload string) *core.PublishEvent {
	ev := newPublish("a", payload)
	ev.Client.ID = client
	return ev
}

// TestTurnsAreFair: a waiting event of one client comes before the second one of
// another.
func TestTurnsAreFair(t *testing.T) {
	r := rules(t, `
		local order = {}
		mqtt.on("publish", function(m)
			for i = 1, 20000 do end
			order[#order + 1] = m.client.id
			kv.set("order", table.concat(order, " "))
		end)`)
	w := r.current.world(0)
	w.Lock()
	var events sync.WaitGroup
	for n, client := range strings.Fields("a a a b c b") {
		events.Go(func() { r.onPublish(from(client, "")) })
		for w.Awaited() != n+1 {
			runtime.Gosched()
		}
	}
	w.Unlock()
	events.Wait()
	order, _ := r.kv.Bucket("").Get("order")
	if s, _ := order.(string); len(s) != len("a a a b c b") || !strings.HasPrefix(s, "a b c ") {
		t.Errorf("served in the order %v", order)
	}
	r.clean()
}

// TestQueueForAWorldIsBounded: an event whose turn does not come falls to on_error,
// is counted, and it is said whose it was.
func TestQueueForAWorldIsBounded(t *testing.T) {
	r := rules(t, `
		mqtt.on("publish", function(m) m.topic = "seen" end)
		mqtt.on("publish", {on_error = "pass"}, function(m) m.payload = "seen" end)`,
		func(o *Options) { o.Queue, o.QueueTime = 1, time.Millisecond })
	w := r.current.world(0)
	w.Lock()
	d := r.onPublish(from("late", ""))
	if d.Verdict != core.Deny || d.Reason != packet.UnspecifiedError || d.By != "10.lua:2" {
		t.Errorf("its time was up: %+v", d)
	}
	r.failedWith("an event was not put to a handler", "by=10.lua:2", "client=late", "addr=192.0.2.1:5000", "comes_to=deny", "had no time")

	var waiting sync.WaitGroup
	r.options.QueueTime = time.Minute
	waiting.Go(func() {
		if d, ev := r.publish("a", ""); d.Verdict != core.Pass || ev.Message.Topic != "seen" {
			t.Errorf("the one that waited: %+v", d)
		}
	})
	for w.Awaited() != 1 {
		runtime.Gosched()
	}
	if d := r.onPublish(from("too many", "")); d.Verdict != core.Deny {
		t.Errorf("one too many: %+v", d)
	}
	w.Unlock()
	waiting.Wait()
	if c := r.HandlerCounts(); c[0].Skipped != 2 || c[0].Errors != 0 || c[0].Calls != 1 || c[1].Skipped != 0 {
		t.Errorf("%+v", c)
	}
}

// TestEventsGoToTheShortestQueue, if no world is free.
func TestEventsGoToTheShortestQueue(t *testing.T) {
	r := rules(t, `mqtt.on("publish", function() end)`, func(o *Options) { o.Workers = 2 })
	var waiting sync.WaitGroup
	for i := range 2 {
		r.current.world(i).Lock()
	}
	for range 4 { // of one client, which is at home in one of the worlds
		n := r.current.world(0).Awaited() + r.current.world(1).Awaited()
		waiting.Go(func() { r.publish("a", "") })
		for r.current.world(0).Awaited()+r.current.world(1).Awaited() != n+1 {
			runtime.Gosched()
		}
	}
	if a, b := r.current.world(0).Awaited(), r.current.world(1).Awaited(); a != 2 || b != 2 {
		t.Errorf("%d wait for the first, %d for the second", a, b)
	}
	for i := range 2 {
		r.current.world(i).Unlock()
	}
	waiting.Wait()
	r.clean()
}

func TestPayers(t *testing.T) {
	connected, other, moved := testClient(packet.V5), testClient(packet.V5), testClient(packet.V5)
	other.Mount, moved.Remote = "t2/", "192.0.2.9:1"
	first, second := &core.Client{ID: "a", Remote: "192.0.2.1:5000"}, &core.Client{ID: "b", Remote: "192.0.2.1:6000"}
	if payerOf(connected) == payerOf(other) || payerOf(connected) != payerOf(moved) {
		t.Error("a client is known by its mount and id")
	}
	if payerOf(first) != payerOf(second) || payerOf(first) == payerOf(connected) {
		t.Error("what is not connected is known by its address, whatever it calls itself")
	}
	if payerOf(nil) != 0 || payerOf(nobody) != 0 || payerOf(scriptClient) == payerOf(connected) {
		t.Error("events without a client have one account")
	}
}
