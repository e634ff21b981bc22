-- Lost acknowledgements: every third PUBACK to a client whose identifier starts
-- with "exp-lose-" gets lost on the way. The message itself was taken. A good
-- client sends it again, with DUP, when it connects next [MQTT-4.4.0-1].
local every = 3

mqtt.on("packet", function(p)
  if p.type ~= "PUBACK" or p.direction ~= "out" then return end
  local c = p.client
  if not c.id or c.id:sub(1, 9) ~= "exp-lose-" then return end
  c.vars.pubacks = (c.vars.pubacks or 0) + 1
  if c.vars.pubacks % every == 0 then return mqtt.drop("lost on purpose") end
end)
