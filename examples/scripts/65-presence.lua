-- Presence: who with an identifier "demo-…" is connected stands, retained, on
-- demo/presence/<id>.
mqtt.on("connected", function(ev)
  local id = ev.client.id
  if id:sub(1, 5) ~= "demo-" or id:find("[/+#]") then return end
  mqtt.publish{ topic = "demo/presence/" .. id, payload = "online", retain = true }
end)

mqtt.on("disconnected", function(ev)
  local id = ev.client.id
  if id:sub(1, 5) ~= "demo-" or id:find("[/+#]") or ev.by == "takeover" then return end
  mqtt.publish{ topic = "demo/presence/" .. id, payload = "offline: " .. ev.reason, retain = true }
end)
