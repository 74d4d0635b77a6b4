-- ARGV: message, attempt. It was not tried after all.
local message = PREFIX .. 'webhook:' .. ID
if redis.call('HGET', message, 'attempt') ~= ARGV[2] then return {'lost'} end
redis.call('HINCRBY', message, 'attempt', -1)
redis.call('ZADD', WEBHOOKS, int(now_us()), ID)
return {'ok'}
