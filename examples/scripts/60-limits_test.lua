test("a client may publish 5 messages a second, with bursts of 10", function()
  local function limited(id) return try.publish{ client = { id = id }, topic = "demo/limited/a" } end
  for _ = 1, 10 do expect(limited("x")):passed() end
  expect(limited("x")):denied("quota_exceeded")
  expect(limited("y")):passed()
  clock.advance(0.2)
  expect(limited("x")):passed()
  expect(limited("x")):denied("quota_exceeded")
end)

test("slow clients are limited in all they do", function()
  local r = try.connect{ client_id = "demo-slow-1" }
  expect(r.limits.publish_rate):equals(2)
  expect(r.limits.queued):equals(50)
  expect(try.connect{ client_id = "fast" }.limits.publish_rate):equals(math.huge)
end)
