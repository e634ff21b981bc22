test("a will becomes a status", function()
  local r = try.will{ client = { id = "gw-7" }, topic = "demo/status/gw-7", payload = "gone", reason = "keep_alive_timeout" }
  expect(r):passed()
  expect(r.retain):equals(true)
  expect(json.decode(r.payload)):equals{
    status = "offline", reason = "keep_alive_timeout", client = "gw-7", at = time.format(clock.now()),
  }
end)

test("other wills stay", function()
  expect(try.will{ topic = "other", payload = "gone" }.payload):equals("gone")
end)
