-- A second topic: every order on demo/orders/<shop> is also published, numbered
-- and retained, on demo/archive/<shop>/last.
mqtt.on("publish", "demo/orders/+", function(msg)
  local shop = msg.level[3]
  mqtt.publish{
    topic   = "demo/archive/" .. shop .. "/last",
    payload = json.encode({ number = kv.incr("orders/" .. shop), order = msg.payload }),
    qos     = 1,
    retain  = true,
  }
end)
