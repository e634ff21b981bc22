-- Wills become a status: a will on demo/status/<id> is sent as JSON that says
-- why the client is gone, and is retained. Give your clients such a will and
-- let them publish {"status":"online"} there when they connect.
mqtt.on("will", "demo/status/+", function(msg)
  msg.payload = json.encode({
    status = "offline",
    reason = msg.reason,
    client = msg.client.id,
    at     = time.format(time.now()),
  })
  msg.content_type = "application/json"
  msg.retain = true
end)
