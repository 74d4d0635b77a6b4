-- ARGV: id. The moment stays in the record, to tell why there are no codes any more.
if is_of_newer_release(CODES_EXPIRIES) then return {'kept'} end
local status, expire_us = unpack(redis.call('HMGET', RECORD, 'status', 'codes_expire_at'))
redis.call('ZREM', CODES_EXPIRIES, ID)
if not status or not TERMINAL[status] or not expire_us or tonumber(expire_us) > now_us() then
  return {'kept'}
end
read(ID)
redis.call('UNLINK', WINDOWS)
redis.call('HDEL', RECORD, 'codes_name')
look_at_files(0)
return {'ok'}
