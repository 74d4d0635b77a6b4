-- ARGV: id, microseconds in the trash or '' for deleting it for good. What is in the trash already
-- is deleted for good.
local status, deleted_at = unpack(redis.call('HMGET', RECORD, 'status', 'deleted_at'))
if not status then return {'missing'} end
if not TERMINAL[status] then return {'refused', status} end
if deleted_at or ARGV[2] == '' then
  forget()
  return {'forgotten'}
end
leave_lists()
-- As if it were forgotten: a client who sends its request again wants another job.
free_idempotency_key()
announce('deleted', '{}')
redis.call('HSET', RECORD, 'deleted_at', int(now_us()))
set_moment('expires_at', EXPIRIES, ARGV[2])
enter_lists()
return {'in_trash'}
