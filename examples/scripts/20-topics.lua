-- Topic rewriting: what old devices send to demo/legacy/<id>/temp goes to
-- demo/devices/<id>/temperature, for publishers and subscribers alike.
mqtt.on("publish", "demo/legacy/+/temp", function(msg)
  msg.topic = "demo/devices/" .. msg.level[3] .. "/temperature"
end)

mqtt.on("subscribe", "demo/legacy/+/temp", function(sub)
  local id = sub.filter:match("^demo/legacy/([^/]+)/temp$")
  if id then sub.filter = "demo/devices/" .. id .. "/temperature" end
end)
