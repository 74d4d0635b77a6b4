-- ARGV: name, description, ttl_us
local now = now_us()
redis.call('ZADD', PREFIX .. 'worker_ends', int(now + tonumber(ARGV[3])), ARGV[1])
redis.call('HSET', PREFIX .. 'workers', ARGV[1], int(now) .. ' ' .. ARGV[2])
return {'ok'}
