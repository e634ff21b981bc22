test("a message says when it came and from whom", function()
  local r = try.publish{ client = { id = "gw-7" }, topic = "demo/stamped/a", payload = "x" }
  expect(r.user_properties:get("sender")):equals("gw-7")
  expect(r.user_properties:get("received")):equals(time.format(clock.now()))
  expect(r.payload):equals("x")
end)

test("a JSON object says it inside", function()
  local r = try.publish{ client = { id = "gw-7" }, topic = "demo/stamped/a", payload = '{"v":1}' }
  expect(json.decode(r.payload)):equals{ v = 1, sender = "gw-7", received = time.format(clock.now()) }
end)

test("what only looks like JSON stays as it is", function()
  expect(try.publish{ topic = "demo/stamped/a", payload = "{oops" }.payload):equals("{oops")
end)
