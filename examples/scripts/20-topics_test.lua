test("what old devices send goes to the new topic", function()
  local r = try.publish{ topic = "demo/legacy/7/temp", payload = "21" }
  expect(r):passed()
  expect(r.topic):equals("demo/devices/7/temperature")
  expect(r.payload):equals("21")
end)

test("who asks for an old topic gets the new one", function()
  expect(try.subscribe{ filter = "demo/legacy/7/temp" }.filter):equals("demo/devices/7/temperature")
  expect(try.subscribe{ filter = "demo/legacy/+/temp" }.filter):equals("demo/devices/+/temperature")
end)

test("a wider filter stays", function()
  expect(try.subscribe{ filter = "demo/#" }.filter):equals("demo/#")
end)
