-- Stamping: messages on demo/stamped/# say when they came and from whom, as
-- user properties (MQTT 5) and, where the payload is a JSON object, inside it.
mqtt.on("publish", "demo/stamped/#", function(msg)
  local at = time.format(time.now())
  msg.user_properties:set("received", at)
  msg.user_properties:set("sender", msg.client.id)
  if msg.payload:sub(1, 1) ~= "{" then return end
  local ok, body = pcall(json.decode, msg.payload)
  if ok and type(body) == "table" then
    body.received, body.sender = at, msg.client.id
    msg.payload = json.encode(body)
  end
end)
