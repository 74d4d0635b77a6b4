-- ARGV: model, stage, tokens_per_second, weight
local key, measured = PREFIX .. 'rates:' .. ARGV[1], tonumber(ARGV[3])
local mean = tonumber(redis.call('HGET', key, ARGV[2]) or ARGV[3])
mean = mean + (measured - mean) * tonumber(ARGV[4])
redis.call('HSET', key, ARGV[2], string.format('%.17g', mean))
return {'ok'}
