-- Rate limits: on demo/limited/# a client may publish 5 messages a second, with
-- bursts of 10. MQTT 5 clients are told, older ones are acknowledged and lose it.
-- Clients whose identifier starts with "demo-slow-" are limited in all they do.
local per_client = rate.limiter(5, 10)

mqtt.on("publish", "demo/limited/#", function(msg)
  if not per_client:allow(msg.client.id) then
    return mqtt.deny("quota_exceeded", "5 messages a second")
  end
end)

mqtt.on("connect", function(c)
  if c.client_id:sub(1, 10) == "demo-slow-" then
    c.limits.publish_rate = 2
    c.limits.queued       = 50
  end
end)
