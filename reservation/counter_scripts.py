"""The Lua of `reservation.counter_ledger`, each script one step of Redis.

All deadlines are epoch milliseconds of Redis's own clock. A hold's value in the hash is
`deadline:quantity:customer`.
"""

from reservation.lua import Script

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# KEYS: stock, deadlines, holds, settled
# ARGV: id, quantity, ttl ms, customer, "1" to know its own id
# A hold that ended and was not reaped yet still owns its tickets: asked again, it lives again. One
# that was sold takes no more (-2): the reaper would find it sold and never give them back.
TAKE = Script(
    _NOW
    + """
if ARGV[5] == '1' and redis.call('ZSCORE', KEYS[4], ARGV[1]) then return -2 end
local stock = redis.call('GET', KEYS[1])
local mine = ARGV[5] == '1' and redis.call('HGET', KEYS[3], ARGV[1])
if mine then
  local deadline = tonumber(string.match(mine, '^%d+'))
  if now <= deadline then return deadline end
elseif not stock then
  return -1
elseif tonumber(stock) < tonumber(ARGV[2]) then
  return 0
else
  redis.call('DECRBY', KEYS[1], ARGV[2])
end
local deadline = now + tonumber(ARGV[3])
local value = string.format('%.0f', deadline) .. ':' .. ARGV[2] .. ':' .. ARGV[4]
redis.call('ZADD', KEYS[2], deadline, ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], value)
return deadline
"""
)

# KEYS: stock, seed, holds, floor. ARGV: remaining
SEED = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local remaining = tonumber(ARGV[1])
remaining = math.min(remaining, tonumber(redis.call('GET', KEYS[4]) or remaining))
local held = 0
for _, value in ipairs(redis.call('HVALS', KEYS[3])) do
  held = held + tonumber(string.match(value, '^%d+:(%d+)'))
end
redis.call('SET', KEYS[1], remaining - held)
redis.call('SET', KEYS[2], remaining)
return 1
"""
)

# KEYS: holds. ARGV: id. Answers the hold's value while it lives.
READ = Script(
    _NOW
    + """
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or tonumber(string.match(value, '^%d+')) < now then return false end
return value
"""
)

# KEYS: stock, deadlines, holds. ARGV: id, quantity, "1" to give back only what is there
RELEASE = Script(
    """
local there = redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if (there == 1 or ARGV[3] ~= '1') and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('INCRBY', KEYS[1], ARGV[2])
end
return there
"""
)

# KEYS: deadlines, holds, settled. ARGV: grace ms, batch, how long a mark is kept (ms)
# Answers id, value, id, value, ... of holds that ended.
DUE = Script(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[3]))
local late = '(' .. (now - tonumber(ARGV[1]))
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', late, 'LIMIT', 0, ARGV[2])
if #ids == 0 then return {} end
local values = redis.call('HMGET', KEYS[2], unpack(ids))
local due = {}
for i, id in ipairs(ids) do
  due[#due + 1] = id
  due[#due + 1] = values[i] or ''
end
return due
"""
)

# KEYS: stock, deadlines, holds
# ARGV: grace ms, "1" to look at each deadline again, "1" to give back only what is there,
#       id, quantity, id, quantity, ...
REAP = Script(
    _NOW
    + """
local late = now - tonumber(ARGV[1])
local ids, quantities = {}, {}
for i = 4, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  quantities[#quantities + 1] = tonumber(ARGV[i + 1])
end
local values = redis.call('HMGET', KEYS[3], unpack(ids))
local ended, tickets = {}, 0
for i, id in ipairs(ids) do
  local value = values[i]
  local deadline = value and tonumber(string.match(value, '^%d+'))
  local extended = ARGV[2] == '1' and deadline and deadline >= late
  if not extended and (value or ARGV[3] ~= '1') then
    ended[#ended + 1] = id
    tickets = tickets + quantities[i]
  end
end
if #ended > 0 then
  redis.call('HDEL', KEYS[3], unpack(ended))
  redis.call('ZREM', KEYS[2], unpack(ended))
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCRBY', KEYS[1], tickets) end
end
return {#ended, tickets}
"""
)

# KEYS: stock, deadlines, holds, seed, settled, floor
# ARGV: id, quantity, remaining after the sale or '', floor ms
SETTLE = Script(
    _NOW
    + """
local there = redis.call('HEXISTS', KEYS[3], ARGV[1])
local after = tonumber(ARGV[3])
if there == 0 and not after then return 0 end
if redis.call('ZADD', KEYS[5], 'NX', now, ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if there == 1 then return 1 end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local floor = tonumber(redis.call('GET', KEYS[6]) or after)
  redis.call('SET', KEYS[6], math.min(floor, after), 'PX', ARGV[4])
elseif after < tonumber(redis.call('GET', KEYS[4]) or after) then
  redis.call('DECRBY', KEYS[1], ARGV[2])
end
return 1
"""
)
