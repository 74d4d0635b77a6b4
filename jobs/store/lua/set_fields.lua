-- ARGV: id, fence, field, value, field, value ...
if not owns(ARGV[2]) then return {'lost'} end
for at = 3, #ARGV, 2 do redis.call('HSET', RECORD, ARGV[at], ARGV[at + 1]) end
return {'ok'}
