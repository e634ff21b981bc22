local client = { id = "demo-7" }

test("who comes and goes stands on its topic", function()
  local r = try.connected{ client = client }
  expect(r.published[1].topic):equals("demo/presence/demo-7")
  expect(r.published[1].payload):equals("online")
  expect(r.published[1].retain):equals(true)
  r = try.disconnected{ client = client, reason = "keep_alive_timeout", by = "network" }
  expect(r.published[1].payload):equals("offline: keep_alive_timeout")
end)

test("a takeover is no leaving, and other clients are nobody's business", function()
  expect(#try.disconnected{ client = client, by = "takeover" }.published):equals(0)
  expect(#try.connected{ client = { id = "x" } }.published):equals(0)
  expect(#try.connected{ client = { id = "demo-a/b" } }.published):equals(0)
end)
