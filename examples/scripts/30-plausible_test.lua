local function humidity(payload)
  return try.publish{ topic = "demo/readings/1/humidity", payload = payload }
end

test("a humidity goes on", function()
  for _, good in ipairs{ "0", "55.5", "100" } do expect(humidity(good)):passed() end
end)

test("what is none is dropped", function()
  for _, bad in ipairs{ "-1", "101", "wet", "", "nan" } do expect(humidity(bad)):dropped() end
end)
