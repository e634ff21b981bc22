test("the right password is let in, with a role", function()
  local r = try.connect{ username = "demo-alice", password = "wonderland" }
  expect(r):allowed()
  expect(r.vars.role):equals("user")
end)

test("a wrong password, none, and a user nobody knows are refused alike", function()
  for _, c in ipairs{
    { username = "demo-alice", password = "x" },
    { username = "demo-alice" },
    { username = "demo-nobody", password = "x" },
  } do
    local r = try.connect(c)
    expect(r):denied("bad_user_name_or_password")
    expect(r.logs[1].fields.user):equals(c.username)
  end
end)

test("about others the rule has no opinion", function()
  expect(try.connect{ username = "carol", password = "x" }):passed()
  expect(try.connect{}):passed()
end)
