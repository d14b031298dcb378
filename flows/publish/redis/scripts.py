"""The two scripts that change a product's keys in Redis: one takes the fencing token, one writes a whole publish."""

from __future__ import annotations

from typing import Final

TAKE: Final = """
-- Gives a new run its fencing token, unless another took one since the stored one was read. Carried out late
-- or twice (its answer may have been lost) it does no harm.
-- KEYS: fence   ARGV: the stored token ('': none), the new one
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

PUBLISH: Final = """
-- Writes one publish, all of it or nothing.
-- KEYS: fence, live, hashes of minutes and days ..., top lists ...
-- ARGV: token, _published_at, the same of the last publish ('': replace the hash), number of fields then,
--       seconds to live, channel, and in MessagePack: changed fields [field, value, ...],
--       vanished fields [field, ...], minutes and days [[ms to live (0: delete), [field, value, ...]],
--       ...],
--       top lists [[members then, [score, member, ...] or nil: as it was], ...]
local fence, live, token = KEYS[1], KEYS[2], ARGV[1]
local stored = tonumber(redis.call('GET', fence))
if stored and stored > tonumber(token) then
  return {'fenced', string.format('%.0f', stored)}
end
local there = redis.call('HMGET', live, '_run', '_published_at')
local replace = ARGV[3] == ''
if replace then
  -- A publish whose sender has given up waiting can still arrive, after a newer one of the same run.
  if there[1] == token and (tonumber(there[2]) or 0) >= tonumber(ARGV[2]) then
    return {'overtaken', there[2]}
  end
elseif there[1] ~= token or there[2] ~= ARGV[3] or redis.call('HLEN', live) ~= tonumber(ARGV[4]) then
  return {'differs'}
end
local periods, lists = cmsgpack.unpack(ARGV[9]), cmsgpack.unpack(ARGV[10])
for i, list in ipairs(lists) do
  if not replace and redis.pcall('ZCARD', KEYS[#periods + i + 2]) ~= list[1] then return {'differs'} end
end

local function in_chunks(values, size, write)  -- Lua's unpack takes 8,000 values at most
  for first = 1, #values, size do
    write(unpack(values, first, math.min(first + size - 1, #values)))
  end
end
local function set_fields(key, fields)
  in_chunks(fields, 2000, function(...) redis.call('HSET', key, ...) end)
end

-- A script is not rolled back, so what can be refused (memory, replica, permission) is tried before any
-- number of the live hash changes: SET, HSET and EXPIRE here, deleting right before the first value.
if stored ~= tonumber(token) then redis.call('SET', fence, token) end
redis.call('HSET', live, '_run', token)
redis.call('EXPIRE', live, ARGV[5])
for i, period in ipairs(periods) do
  local key = KEYS[i + 2]
  redis.call('UNLINK', key)
  if period[1] > 0 then
    set_fields(key, period[2])
    redis.call('PEXPIRE', key, period[1])
  end
end
for i, list in ipairs(lists) do
  local key = KEYS[#periods + i + 2]
  if list[2] then
    redis.call('UNLINK', key)
    in_chunks(list[2], 1000, function(...) redis.call('ZADD', key, ...) end)
  end
  redis.call('EXPIRE', key, ARGV[5])
end
if replace then
  redis.call('UNLINK', live)
else
  in_chunks(cmsgpack.unpack(ARGV[8]), 1000, function(...) redis.call('HDEL', live, ...) end)
end
set_fields(live, cmsgpack.unpack(ARGV[7]))
redis.call('EXPIRE', live, ARGV[5])
local told = redis.pcall('PUBLISH', ARGV[6], ARGV[2])
return {'ok', type(told) == 'number' and 'told' or 'channel refused'}
"""
