test("an order is also published, numbered and retained", function()
  for number = 1, 2 do
    local r = try.publish{ topic = "demo/orders/north", payload = "tea" }
    expect(r):passed()
    expect(#r.published):equals(1)
    local copy = r.published[1]
    expect(copy.topic):equals("demo/archive/north/last")
    expect(copy.retain):equals(true)
    expect(copy.qos):equals(1)
    expect(json.decode(copy.payload)):equals{ number = number, order = "tea" }
  end
  expect(kv.get("orders/north")):equals(2)
end)
