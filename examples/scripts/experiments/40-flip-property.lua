-- Damage: of a message published on exp/flip/# the payload format indicator
-- (3.3.2.3.2) is turned over, 0 to 1 and 1 to 0. Where there is none, as in 3.x,
-- the lowest bit of the last byte of the payload is.
local wire = require("wire")
local payload_format = 0x01

mqtt.on("packet", function(p)
  if p.direction ~= "in" then return end
  local topic, _, properties, payload = wire.publish(p)
  if not topic or not mqtt.match("exp/flip/#", topic) then return end
  local s = p.bytes
  local found = properties and wire.property(s, properties, payload_format)
  if found then
    p.bytes = wire.flip(s, found, 1)
  elseif #s >= payload then
    p.bytes = wire.flip(s, #s, 1)
  end
end)
