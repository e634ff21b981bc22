-- Delay and reorder: a message on exp/delay/<seconds>/… is held back for so long
-- (0.2, 5; up to an hour) before the broker sees it. What its client sends
-- meanwhile overtakes it, also what is held back for a shorter time. Of QoS 1 and
-- 2, the acknowledgement comes late as well.
local wire = require("wire")

mqtt.on("packet", function(p)
  if p.direction ~= "in" then return end
  local topic = wire.publish(p)
  local seconds = tonumber(topic and topic:match("^exp/delay/(%d+%.?%d*)/"))
  if seconds and seconds > 0 and seconds <= 3600 then return mqtt.delay(seconds) end
end)
