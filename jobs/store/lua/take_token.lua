-- ARGV: (none), kind:owner, tokens per minute, which is also what the bucket holds
local key, capacity, now = PREFIX .. 'bucket:' .. ARGV[2], tonumber(ARGV[3]), now_us()
local tokens_per_us, wait_us = capacity / 60000000, 0
local tokens, counted_us = unpack(redis.call('HMGET', key, 'tokens', 'counted_at'))
local passed_us = math.max(now - (counted_us or now), 0)
tokens = math.min((tokens or capacity) + passed_us * tokens_per_us, capacity)
if tokens >= 1 then tokens = tokens - 1 else wait_us = (1 - tokens) / tokens_per_us end
redis.call('HSET', key, 'tokens', string.format('%.17g', tokens), 'counted_at', int(now))
redis.call('PEXPIRE', key, 61000)
return int(math.ceil(wait_us))
