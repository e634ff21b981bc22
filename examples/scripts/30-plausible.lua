-- Bad readings never reach anybody: humidity on demo/readings/<id>/humidity is
-- a number from 0 to 100. The sensor gets its normal acknowledgement.
mqtt.on("publish", "demo/readings/+/humidity", function(msg)
  local h = tonumber(msg.payload)
  if not h or h ~= h or h < 0 or h > 100 then
    return mqtt.drop("not a humidity")
  end
end)
