-- What the experiments read of a PUBLISH (MQTT 5, 3.3; 3.1.1, 3.3). A packet
-- that is none, or is cut short, reads as nil.
local wire = {}

-- A variable byte integer (1.5.5) at a position: its value, and where it ends.
local function length(s, at)
  local value, unit = 0, 1
  for i = at, at + 3 do
    local b = s:byte(i)
    if not b then return nil end
    value, unit = value + b % 128 * unit, unit * 128
    if b < 128 then return value, i + 1 end
  end
end

-- What two bytes (1.5.2) say how long it is, at a position, and where it ends.
local function text(s, at)
  local high, low = s:byte(at, at + 1)
  if not low then return nil end
  local stop = at + 2 + high * 256 + low
  if stop > #s + 1 then return nil end
  return s:sub(at + 2, stop - 1), stop
end

-- The topic and QoS of a PUBLISH, where its properties begin (nil in 3.x), and
-- its payload. A message sent by topic alias has the topic "".
function wire.publish(p)
  if p.type ~= "PUBLISH" then return nil end
  local s = p.bytes
  local _, at = length(s, 2)
  local topic, rest = text(s, at or #s + 1)
  if not topic then return nil end
  local qos = math.floor(s:byte(1) / 2) % 4
  if qos > 0 then rest = rest + 2 end -- the packet identifier
  if p.client.protocol ~= "5" then return topic, qos, nil, rest end
  local n, first = length(s, rest)
  if not n then return nil end
  return topic, qos, rest, first + n
end

-- How long the values of a PUBLISH's properties are (2.2.2.2): bytes, or a
-- function from their beginning to their end.
local function pair(s, at)
  local _, middle = text(s, at)
  return select(2, text(s, middle or #s + 1))
end
local function second(read)
  return function(s, at) return select(2, read(s, at)) end
end
local sizes = {
  [0x01] = 1, [0x02] = 4, [0x23] = 2, [0x03] = second(text), [0x08] = second(text),
  [0x09] = second(text), [0x0B] = second(length), [0x26] = pair,
}

-- Where the value of a property is whose properties begin at a position; nil
-- if the packet does not have it.
function wire.property(s, at, id)
  local n, i = length(s, at)
  local stop = n and i + n or 0
  while i and i < stop do
    local found = s:byte(i)
    if found == id then return i < #s and i + 1 or nil end
    local size = sizes[found]
    if not size then return nil end
    i = type(size) == "number" and i + 1 + size or type(size) == "function" and size(s, i + 1)
  end
end

-- The packet with one bit of the byte at a position turned over.
function wire.flip(s, at, mask)
  return s:sub(1, at - 1) .. string.char(bit.bxor(s:byte(at), mask)) .. s:sub(at + 1)
end

return wire
