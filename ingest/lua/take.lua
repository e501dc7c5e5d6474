-- Look at the line for a slot; take it when it is this ticket's turn.
--
-- KEYS[1]   line: sorted set, ticket -> time it joined (µs). Everyone who wants a slot.
-- KEYS[2]   ready: sorted set, same scores. Those who could send at once; only they are served, first come first.
-- KEYS[3]   seen: sorted set, ticket -> time it last looked (µs).
-- KEYS[4..] buckets: hash each, one per lane that the call counts against. All are taken or none.
-- ARGV[1]   ticket
-- ARGV[2]   1: ready to send now, 0: only keeps its place
-- ARGV[3]   use-by of a slot, µs
-- ARGV[4]   how long a silent ticket keeps its place, µs
-- ARGV[5..] interval of bucket i, µs
--
-- Returns {granted 0|1, µs until this ticket's likely turn, tickets before it, slot outstanding 0|1}
--
-- Bucket fields: next (µs, no slot before), closed (µs, no slot before: the vendor said too fast), margin (µs, learned),
-- holder (ticket whose slot is not stamped yet), run (the server that wrote this), sent (requests that left, for people).
-- Why at use and one outstanding: two slots handed out ahead of time come together at the far end when the first holder
-- oversleeps. Why the server's run id: a server that failed over or lost its last second remembers a `next` that is too early.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ticket, ready = ARGV[1], ARGV[2] == '1'
local use_by, patience = tonumber(ARGV[3]), tonumber(ARGV[4])

local function number(value) return string.format('%.0f', value) end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', number(now - patience))) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
end
redis.call('ZADD', KEYS[1], 'NX', number(now), ticket)
redis.call('ZADD', KEYS[3], number(now), ticket)
if ready then
  redis.call('ZADD', KEYS[2], 'NX', redis.call('ZSCORE', KEYS[1], ticket), ticket)
end
for place = 1, 3 do redis.call('PEXPIRE', KEYS[place], 3600000) end

local run = ''
local answered, info = pcall(redis.call, 'INFO', 'server')
if answered and type(info) == 'string' then run = string.match(info, 'run_id:(%w+)') or '' end

local opens, slowest, outstanding = now, 0, 0
for i = 4, #KEYS do
  local interval = tonumber(ARGV[i + 1])
  local state = redis.call('HMGET', KEYS[i], 'next', 'closed', 'margin', 'holder', 'run')
  local next = tonumber(state[1])
  if not next or (state[5] or '') ~= run then
    next = now + use_by + interval
    redis.call('HSET', KEYS[i], 'next', number(next), 'run', run, 'holder', '')
    redis.call('PEXPIRE', KEYS[i], number(math.max(86400000, interval * 3 / 1000)))
    state[4] = ''
  end
  local margin = tonumber(state[3] or '0')
  -- After a clock that stepped back, or a limit that was raised, the old `next` may lie too far off.
  next = math.min(next, now + use_by + interval + margin)
  opens = math.max(opens, next, tonumber(state[2] or '0'))
  slowest = math.max(slowest, interval + margin)
  if state[4] and state[4] ~= '' and next > now then outstanding = 1 end
end

local before = redis.call('ZRANK', ready and KEYS[2] or KEYS[1], ticket)
if not ready or before > 0 or now < opens then
  -- An outstanding slot is stamped any moment: what is likely is an interval from now, not an interval after its use-by.
  local likely = outstanding == 1 and math.min(opens, now + slowest) or opens
  return {0, number(likely - now + before * slowest), before, outstanding}
end

for i = 4, #KEYS do
  local interval = tonumber(ARGV[i + 1])
  local margin = tonumber(redis.call('HGET', KEYS[i], 'margin') or '0')
  -- Until it is stamped, the slot counts as sent at its use-by.
  redis.call('HSET', KEYS[i], 'next', number(now + use_by + interval + margin), 'holder', ticket)
  redis.call('PEXPIRE', KEYS[i], number(math.max(86400000, interval * 3 / 1000)))
end
for place = 1, 3 do redis.call('ZREM', KEYS[place], ticket) end
return {1, '0', 0, 1}
