-- The vendor said "too fast" (0429): close the lane for everyone, longer each time in a row, and widen its interval a little.
--
-- KEYS[1] bucket
-- ARGV[1] interval, µs
-- ARGV[2] first wait, µs
-- ARGV[3] longest wait, µs
--
-- Returns {µs the lane stays closed, margin in µs}. Several refusals of one moment count once.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, first, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'closed', 'strikes', 'margin')
local closed, strikes, margin = tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0')
if closed > now then
  return {string.format('%.0f', closed - now), string.format('%.0f', margin)}
end
-- A lane that was open for twice as long as it had been closed was not refused "again": its story begins anew.
if now - closed > 2 * math.min(longest, first * 2 ^ math.max(0, strikes - 1)) then strikes = 0 end
local wait = math.min(longest, first * 2 ^ strikes)
margin = math.min(interval, margin + interval * 0.05)
redis.call('HSET', KEYS[1],
  'closed', string.format('%.0f', now + wait),
  'strikes', strikes + 1,
  'margin', string.format('%.0f', margin))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(86400000, interval * 3 / 1000)))
return {string.format('%.0f', wait), string.format('%.0f', margin)}
