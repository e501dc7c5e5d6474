-- The request of a slot is on the wire: the next slot opens an interval from now.
--
-- KEYS[1..] buckets of the slot
-- ARGV[1]   ticket
-- ARGV[2..] interval of bucket i, µs
--
-- Returns the number of buckets stamped; one that has moved on since (use-by passed) is left alone.
-- Each call that leaves lets the learned margin shrink by a hundredth: what a crowded hour taught is unlearned in quiet ones.
-- `sent` counts what left, late stamps as well: the request is out, whoever has the slot now. It begins anew with the bucket.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamped = 0
for i = 1, #KEYS do
  -- Not where the bucket is gone: this would make one that never expires.
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('HINCRBY', KEYS[i], 'sent', 1) end
  if redis.call('HGET', KEYS[i], 'holder') == ARGV[1] then
    local margin = tonumber(redis.call('HGET', KEYS[i], 'margin') or '0') * 0.99
    if margin < 100 then margin = 0 end
    redis.call('HSET', KEYS[i],
      'next', string.format('%.0f', now + tonumber(ARGV[i + 1]) + margin),
      'margin', string.format('%.0f', margin),
      'last', string.format('%.0f', now),
      'holder', '')
    stamped = stamped + 1
  end
end
return stamped
