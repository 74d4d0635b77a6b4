-- ARGV: id
if is_of_newer_release(EXPIRIES) then return {'kept'} end
local status, expires_us = unpack(redis.call('HMGET', RECORD, 'status', 'expires_at'))
if not status or not TERMINAL[status] or not expires_us or tonumber(expires_us) > now_us() then
  redis.call('ZREM', EXPIRIES, ID)
  return {'kept'}
end
forget()
return {'ok'}
