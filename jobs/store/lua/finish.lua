-- ARGV: id, fence, status, field, value ...
if not owns(ARGV[2]) then return {'lost'} end
local from = get('status')
if not can_become(from, ARGV[3]) then return {'refused', from} end
if #ARGV > 3 then redis.call('HSET', RECORD, unpack(ARGV, 4)) end
become(ARGV[3])
return {'ok'}
