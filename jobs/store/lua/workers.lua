local ends, workers, found = PREFIX .. 'worker_ends', PREFIX .. 'workers', {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', int(now_us()))) do
  redis.call('ZREM', ends, name)
  redis.call('HDEL', workers, name)
end
local flat = redis.call('HGETALL', workers)
for at = 1, #flat, 2 do
  local seen_us, description = flat[at + 1]:match('^(%d+) (.*)$')
  found[#found + 1] = {flat[at], seen_us, description}
end
return found
