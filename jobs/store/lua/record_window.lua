-- ARGV: id, fence, field, window
if not owns(ARGV[2]) then return {'lost'} end
redis.call('HSET', WINDOWS, ARGV[3], ARGV[4])
redis.call('HDEL', RECORD, 'crashes')
return {'ok'}
