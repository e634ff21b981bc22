-- Reconnects: every third PUBLISH from a client whose identifier starts with
-- "exp-again-" costs it its connection, and is not handled. A client that keeps
-- its session sends it again after the next CONNECT, and nothing is lost.
local every = 3

mqtt.on("packet", function(p)
  if p.type ~= "PUBLISH" or p.direction ~= "in" then return end
  local c = p.client
  if not c.id or c.id:sub(1, 10) ~= "exp-again-" then return end
  c.vars.published = (c.vars.published or 0) + 1
  if c.vars.published % every == 0 then
    return mqtt.disconnect("administrative_action", "an experiment")
  end
end)
