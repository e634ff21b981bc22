package scripting

import "testing"

// Timers, load and what is retained are as in a broker, by the test's clock.
func TestTrialsHaveTimers(t *testing.T) {
	const rules = `
mqtt.on("load", function() kv.set("loaded", true) end)
mqtt.every(10, function() mqtt.publish{ topic = "beat", payload = tostring(kv.incr("n")), retain = true } end)
mqtt.on("publish", "later", function() mqtt.after(5, function() mqtt.kick("late") end) end)
mqtt.on("publish", "ask", function(m) m.payload = mqtt.retained("beat").payload end)
mqtt.on("acked", "a", function(ev) log.info(ev.topic) end)
mqtt.on("session_ended", function(ev) log.info(ev.client_id .. ev.reason) end)
mqtt.on("authenticate", function(ev) if ev.data ~= "secret" then return mqtt.deny("bad_authentication_method") end return mqtt.allow() end)`
	for name, r := range tried(t, rules, `
test("timers", function()
  expect(kv.get("loaded")):equals(true)
  expect(#clock.advance(9).published):equals(0)
  local r = clock.advance(21)
  expect(#r.published):equals(3)
  expect(r.published[3].payload):equals("3")
  expect(clock.now()):equals(1767225630)
  expect(try.publish{ topic = "ask" }.payload):equals("3")
  try.publish{ topic = "later" }
  expect(clock.advance(5).kicked[1].id):equals("late")
end)
test("events", function()
  expect(try.acked{ topic = "a" }.logs[1].text):equals("a")
  expect(try.session_ended{ client_id = "x" }.logs[1].text):equals("xexpired")
  expect(try.authenticate{ method = "m", data = "secret" }):allowed()
  expect(try.authenticate{ method = "m" }):denied("bad_authentication_method")
end)`) {
		if !r.Passed {
			t.Errorf("%s: %s", name, r.Failure)
		}
	}
}
