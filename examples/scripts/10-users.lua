-- Users and passwords. This rule answers for user names that start with
-- "demo-" and has no opinion on anybody else: they fall to [auth] default.
--
--   mosquitto_sub -u demo-alice -P wonderland -t 'demo/#'
--
-- Hashes are made by `mosquitto_passwd`, `htpasswd -B` or argon2; put yours here.
-- These are of wonderland, looking-glass, acme and globex.
local users = {
  ["demo-alice"]      = "$7$101$SKDGUIETFGbzkDrQ$7dG8ejVnRskXmF9FTQONyBzm0UC78W+4DuaSiDwEL9dMeLleEADN4iBFlcJYXWmUjbWSWFOdD4CnK3w0XYesCQ==",
  ["demo-admin"]      = "$7$101$xkYSH1uWw+/67394$xpftv+3n9j2wePatn2+kXFL1VUBwVaqvcVTcNxvt0q5A7AlOysF8DhAXsmy0+0tlTW5GKj+tD6hmBrle+OIwlw==",
  ["demo-ann@acme"]   = "$7$101$yGOfMyGY+DEZ4Ubp$ap5AS34gRtjdL6gKd60bq7ZwPA2udrrgGiXH/82qQbsKgJDW4xU+xtW3Dzf/XfniqtA08bkwNWApoZcggqhLoQ==",
  ["demo-bob@globex"] = "$7$101$1mKXQUKN/aclDSTH$sV8YYVCsflvMVZfs9OQ2QQRaO7J+X7mWZfaJaPwOrf/B7Az1+8P7ZN9W2x1hD63oi3tiJwr3rhsur864JlSMkg==",
}

mqtt.on("connect", function(c)
  local name = c.username
  if not name or name:sub(1, 5) ~= "demo-" then return end
  local hash = users[name]
  if hash and c.password and crypto.verify_password(c.password, hash) then
    c.vars.role = (name == "demo-admin") and "admin" or "user"
    return mqtt.allow()
  end
  log.warn("wrong user name or password", { user = name, remote = c.remote })
  return mqtt.deny("bad_user_name_or_password")
end)
