-- ARGV: limit
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', int(now_us()), 'LIMIT', 0, ARGV[1])) do
  local stage, status, lease, looks = unpack(redis.call(
    'HMGET', PREFIX .. 'job:' .. id, 'stage', 'status', 'lease_expires_at', 'looks'))
  if status and not (NEXT[status] and STAGE[stage]) then
    -- A newer release knows what to do with it; it must not hide the others.
    redis.call('ZADD', DUE, int(now_us() + 60000000), id)
  elseif status then
    found[#found + 1] = {id, stage, status, lease and '1' or '', looks or '0'}
  else
    redis.call('ZREM', DUE, id)
  end
end
return found
