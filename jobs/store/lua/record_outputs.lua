-- ARGV: id, fence, field, output, event, field, output, event ...
if not owns(ARGV[2]) then return {'lost'} end
for at = 3, #ARGV, 3 do
  redis.call('HSET', RECORD, ARGV[at], ARGV[at + 1])
  emit('output', ARGV[at + 2])
end
return {'ok'}
