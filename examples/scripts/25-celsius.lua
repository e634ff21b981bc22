-- Unit conversion: gateways send Fahrenheit as text on demo/fahrenheit/<id>;
-- the payload becomes JSON in degrees Celsius.
mqtt.on("publish", "demo/fahrenheit/+", function(msg)
  local f = tonumber(msg.payload)
  if not f then return mqtt.deny("payload_format_invalid", "not a number") end
  msg.payload = json.encode({ celsius = (f - 32) * 5 / 9, by = msg.client.id })
  msg.content_type = "application/json"
end)
