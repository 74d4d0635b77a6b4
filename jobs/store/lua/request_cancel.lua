-- ARGV: id, resend_us
local status = get('status')
if not status then return {'missing'} end
if status == 'queued' then
  become('canceled')
elseif not TERMINAL[status] then
  if status == 'running' then become('canceling') end
  if not is_held() then become('canceled') end
end
return {'ok', (read(ID))}
