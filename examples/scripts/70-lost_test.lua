test("a message that was lost is told of", function()
  local r = try.dropped{ topic = "demo/x", cause = "queue_full", client = { id = "slow" } }
  expect(json.decode(r.published[1].payload)):equals{ topic = "demo/x", cause = "queue_full", client = "slow" }
  expect(r.published[1].topic):equals("demo/lost")
end)

test("one that ran out of time is not", function()
  expect(#try.dropped{ topic = "demo/x", cause = "expired" }.published):equals(0)
end)
