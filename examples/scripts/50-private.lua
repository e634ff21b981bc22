-- Who may subscribe to what: demo/private/<user>/# belongs to that user. Others
-- may not ask for it, and who asks for more (demo/#, #) does not get it.
local function owner(topic)
  return topic:match("^demo/private/([^/]+)")
end

mqtt.on("subscribe", "demo/private/#", function(sub)
  local user = owner(sub.filter)
  if not user then return end -- wider: see deliver below
  if user ~= sub.client.username then
    return mqtt.deny("not_authorized", "demo/private/<user> is for that user alone")
  end
end)

mqtt.on("publish", "demo/private/+/#", function(msg)
  local by_client = msg.origin == "client" or msg.origin == "will"
  if by_client and msg.client.username ~= msg.level[3] then
    return mqtt.deny("not_authorized")
  end
end)

mqtt.on("deliver", "demo/private/+/#", function(msg)
  if msg.client.username ~= msg.level[3] then return mqtt.drop() end
end)
