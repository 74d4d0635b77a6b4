-- ARGV: (none), limit, lease_us, most at once of one owner, owner, how many of its now ...
local limit, at_most, now = tonumber(ARGV[2]), tonumber(ARGV[4]), now_us()
local held, found, seen = {}, {}, 0
for at = 5, #ARGV, 2 do held[ARGV[at]] = tonumber(ARGV[at + 1]) end
-- One call looks at a thousand. What may not be sent now goes behind what is due, in its order, or
-- the messages of one slow receiver would hide those of all others for ever.
while #found < limit and seen < 1000 do
  local ids = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', int(now), 'LIMIT', 0, 100)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local message = PREFIX .. 'webhook:' .. id
    local owner = redis.call('HGET', message, 'owner')
    if not owner then
      redis.call('ZREM', WEBHOOKS, id)
    elseif #found < limit then
      seen = seen + 1
      local number = held[owner] or 0
      if owner == '' or number < at_most then
        held[owner] = number + 1
        redis.call('HINCRBY', message, 'attempt', 1)
        redis.call('ZADD', WEBHOOKS, int(now + tonumber(ARGV[3])), id)
        found[#found + 1] = {id, int(now), redis.call('HGETALL', message)}
      else
        redis.call('ZADD', WEBHOOKS, int(now + seen), id)
      end
    end
  end
end
return found
