-- Duplicates: a message of QoS 1 on exp/twice/# reaches each receiver twice, as
-- one and the same packet. "At least once" (4.3.2) means that a receiver must
-- live with it; QoS 0 and 2 are left alone.
local wire = require("wire")

mqtt.on("packet", function(p)
  if p.direction ~= "out" then return end
  local topic, qos = wire.publish(p)
  if qos == 1 and mqtt.match("exp/twice/#", topic) then return mqtt.duplicate() end
end)
