-- ARGV: id. Out of the trash; from now on its time counts anew.
local status, deleted_at = unpack(redis.call('HMGET', RECORD, 'status', 'deleted_at'))
if not status then return {'missing'} end
if deleted_at then
  leave_lists()
  redis.call('HDEL', RECORD, 'deleted_at')
  end_lifetime()
  begin_lifetime()
  enter_lists()
  announce('created', '{}')
end
return {'ok', (read(ID))}
