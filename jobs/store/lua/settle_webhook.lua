-- ARGV: message, attempt, outcome, microseconds until the next attempt or '' when there is none
local message = PREFIX .. 'webhook:' .. ID
if redis.call('HGET', message, 'attempt') ~= ARGV[2] then return {'lost'} end
redis.call('HINCRBY', PREFIX .. 'webhook_deliveries', ARGV[3], 1)
if ARGV[4] ~= '' then
  redis.call('ZADD', WEBHOOKS, int(now_us() + tonumber(ARGV[4])), ID)
  return {'ok'}
end
if ARGV[3] == 'gone' then
  local job_id = redis.call('HGET', message, 'job_id')
  redis.call('HDEL', PREFIX .. 'job:' .. job_id, 'webhook_url', 'webhook_events')
end
redis.call('ZREM', WEBHOOKS, ID)
redis.call('DEL', message)
return {'ok'}
