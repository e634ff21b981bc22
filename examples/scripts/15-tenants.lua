-- Tenants kept apart: a user "demo-<name>@<tenant>" lives under its own part of
-- the topics. It writes and reads "sensors/1"; the broker stores
-- "demo/tenants/<tenant>/sensors/1", and nobody else's messages match.
mqtt.on("connect", function(c)
  local tenant = c.username and c.username:match("^demo%-[^@]+@([%w_-]+)$")
  if tenant then
    c.mount = "demo/tenants/" .. tenant .. "/"
    c.vars.tenant = tenant
  end
end)
