test("one message a second goes on, for each topic", function()
  local function fast(n) return try.publish{ topic = "demo/fast/" .. n, payload = "x" } end
  expect(fast(1)):passed()
  expect(fast(1)):dropped()
  expect(fast(2)):passed()
  clock.advance(1)
  expect(fast(1)):passed()
  expect(fast(1)):dropped()
end)
