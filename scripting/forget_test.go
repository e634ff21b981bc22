package scripting

import (
	"runtime"
	"testing"
	"weak"

	"lunamq/core"
)

// TestEventsAreLetGo: an event is garbage once its handler has returned, though
// the objects that showed it lie in slabs that live on, and a rule keeps one.
func TestEventsAreLetGo(t *testing.T) {
	r := rules(t, `
local kept
mqtt.on("publish", "#", function(m)
	kept = m.client
	return m.user_properties:get(m.payload) and mqtt.allow() or nil
end)`)
	event, message := publishWeakly(r)
	runtime.GC()
	if event.Value() != nil || message.Value() != nil {
		t.Error("the event of a call that is over is still held")
	}
	runtime.KeepAlive(r)
}

//go:noinline
func publishWeakly(r *rig) (weak.Pointer[core.PublishEvent], weak.Pointer[core.Message]) {
	_, ev := r.publish("any", "payload")
	return weak.Make(ev), weak.Make(ev.Message)
}
