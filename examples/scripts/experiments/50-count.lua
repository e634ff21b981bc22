-- Packet sizes: counts packets and bytes by direction and type, of all clients
-- whose identifier starts with "exp-count-". When one of them pings, the sums
-- are published on exp/counts: {"in":{"PUBLISH":{"packets":2,"bytes":40}}, …}.
local counts = kv.bucket("experiments")

local function sums()
  local out = {}
  for _, key in ipairs(counts:keys("")) do
    local direction, type, unit = key:match("^(%a+)/(%a+)/(%a+)$")
    out[direction] = out[direction] or {}
    out[direction][type] = out[direction][type] or {}
    out[direction][type][unit] = counts:get(key)
  end
  return out
end

mqtt.on("packet", function(p)
  local id = p.client.id
  if not id or id:sub(1, 10) ~= "exp-count-" then return end
  local key = p.direction .. "/" .. p.type
  counts:incr(key .. "/packets")
  counts:incr(key .. "/bytes", #p.bytes)
  if p.type == "PINGREQ" then
    mqtt.publish{ topic = "exp/counts", payload = json.encode(sums()) }
  end
end)
