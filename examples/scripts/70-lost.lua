-- Lost messages are seen: when a message on demo/# is dropped because a queue
-- is full or a client is too slow, demo/lost says which and why.
mqtt.on("dropped", "demo/#", function(msg)
  if msg.cause == "queue_full" or msg.cause == "slow_consumer" then
    mqtt.publish{
      topic   = "demo/lost",
      payload = json.encode({ topic = msg.topic, cause = msg.cause, client = msg.client.id }),
    }
  end
end)
