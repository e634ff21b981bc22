package scripting

import (
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

func TestAckedAndSessionEndedFields(t *testing.T) {
	r := rules(t, `
mqtt.on("acked", "a/#", function(e)
	assert(e.topic == "a/b" and e.qos == 2 and e.client.id == "gw-7" and e.client.vars ~= nil)
	assert(not pcall(function() e.topic = "x" end) and not pcall(function() return e.payload end))
	kv.incr("acked")
end)
mqtt.on("session_ended", function(e)
	assert(e.client_id == "gw-7" and e.reason == "expired" and not pcall(function() return e.client end))
	kv.incr("ended")
end)`)
	c := testClient(packet.V5)
	told(r, &core.AckedEvent{Client: c, Topic: "a/b", QoS: 2}, core.AckedHook.OnAcked)
	told(r, &core.AckedEvent{Client: c, Topic: "b", QoS: 2}, core.AckedHook.OnAcked)
	told(r, &core.SessionEndedEvent{Client: c, Reason: core.SessionExpired}, core.SessionEndedHook.OnSessionEnded)
	for _, key := range []string{"acked", "ended"} {
		if n, _ := r.kv.Bucket("").Get(key); n != 1.0 {
			t.Errorf("%s: %v handlers were through, want 1", key, n)
		}
	}
	r.clean()
}
