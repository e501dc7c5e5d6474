-- Leave the line, and give back a slot that came to nothing: the next one may open at once, for nothing was sent.
--
-- KEYS[1] line, KEYS[2] ready, KEYS[3] seen, KEYS[4..] buckets
-- ARGV[1] ticket
--
-- Returns the number of buckets given back.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for place = 1, 3 do redis.call('ZREM', KEYS[place], ARGV[1]) end
local given = 0
for i = 4, #KEYS do
  if redis.call('HGET', KEYS[i], 'holder') == ARGV[1] then
    redis.call('HSET', KEYS[i], 'next', string.format('%.0f', now), 'holder', '')
    given = given + 1
  end
end
return given
