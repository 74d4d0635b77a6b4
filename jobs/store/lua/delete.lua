-- ARGV: id
local status = get('status')
if not status then return {'missing'} end
if not TERMINAL[status] then return {'refused', status} end
forget()
return {'ok'}
