-- 10-users.lua comes first and answers for the password; this is about where a user lives.
test("who is refused, or has no tenant, is mounted nowhere", function()
  local r = try.connect{ username = "demo-ann@acme", password = "wrong" }
  expect(r):denied("bad_user_name_or_password")
  expect(r.mount):equals("")
  expect(try.connect{ username = "carol" }.mount):equals("")
end)

test("the mount is that of the tenant", function()
  local r = try.connect{ username = "demo-ann@acme", password = "acme" }
  expect(r):allowed()
  expect(r.mount):equals("demo/tenants/acme/")
  expect(r.vars.tenant):equals("acme")
end)
