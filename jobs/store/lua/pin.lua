-- ARGV: id, '1' or ''
local status, is_pinned = unpack(redis.call('HMGET', RECORD, 'status', 'pinned'))
if not status or place() == TRASH then return {'missing'} end
if ARGV[2] == '1' then
  redis.call('HSET', RECORD, 'pinned', '1')
  end_lifetime()
elseif is_pinned then
  redis.call('HDEL', RECORD, 'pinned')
  if TERMINAL[status] then begin_lifetime() end
end
return {'ok', (read(ID))}
