-- ARGV: id, stage, worker, lease_us, max_attempts, error when there were too many crashes
local status, stage = unpack(redis.call('HMGET', RECORD, 'status', 'stage'))
if not NEXT[status] or TERMINAL[status] or stage ~= ARGV[2] or is_held() then return {'none'} end
if status == 'canceling' then
  become('canceled')
  return {'none', ending()}
end
if is_overdue() then
  end_overdue()
  return {'none', ending()}
end
if get('lease_expires_at') then
  if redis.call('HINCRBY', RECORD, 'crashes', 1) >= tonumber(ARGV[5]) then
    redis.call('HSET', RECORD, 'error', ARGV[6])
    become('failed')
    return {'none', ending()}
  end
  redis.call('HINCRBY', RECORD, 'attempt', 1)
end
local fence = redis.call('HINCRBY', RECORD, 'fence', 1)
redis.call('HSET', RECORD, 'worker', ARGV[3])
hold(ARGV[4])
if status == 'queued' then
  redis.call('HSETNX', RECORD, 'started_at', int(now_us()))
  become('running')
else
  emit_status()
end
local record = read(ID)
return {'ok', fence, record, redis.call('HGETALL', WINDOWS)}
