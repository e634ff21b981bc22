local ann, bob = { id = "a", username = "ann" }, { id = "b", username = "bob" }

test("a part belongs to its user", function()
  expect(try.subscribe{ client = ann, filter = "demo/private/ann/#" }):passed()
  expect(try.subscribe{ client = bob, filter = "demo/private/ann/#" }):denied("not_authorized")
  expect(try.publish{ client = ann, topic = "demo/private/ann/x" }):passed()
  expect(try.publish{ client = bob, topic = "demo/private/ann/x" }):denied("not_authorized")
  expect(try.publish{ topic = "demo/private/ann/x", origin = "script" }):passed()
end)

test("who asks for more does not get it", function()
  expect(try.subscribe{ client = bob, filter = "demo/#" }):passed()
  expect(try.deliver{ client = bob, topic = "demo/private/ann/x", subscription = { filter = "demo/#" } }):dropped()
  expect(try.deliver{ client = ann, topic = "demo/private/ann/x", subscription = { filter = "demo/#" } }):passed()
end)
