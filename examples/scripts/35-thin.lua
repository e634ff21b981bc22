-- Thinning: whatever comes on demo/fast/#, at 10 Hz or more, goes on at one
-- message a second for each topic.
local per_topic = rate.limiter(1, 1)

mqtt.on("publish", "demo/fast/#", function(msg)
  if not per_topic:allow(msg.topic) then return mqtt.drop("thinned") end
end)
