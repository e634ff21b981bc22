test("Fahrenheit becomes Celsius", function()
  local r = try.publish{ client = { id = "gw-7" }, topic = "demo/fahrenheit/42", payload = "212" }
  expect(r.verdict):equals("pass")
  expect(json.decode(r.payload)):equals{ celsius = 100, by = "gw-7" }
  expect(r.content_type):equals("application/json")
end)

test("garbage is refused", function()
  local r = try.publish{ topic = "demo/fahrenheit/42", payload = "warm" }
  expect(r):denied("payload_format_invalid")
  expect(r.text):equals("not a number")
end)
