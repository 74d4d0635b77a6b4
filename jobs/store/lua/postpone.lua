-- ARGV: id, microseconds. XX: a job that ended meanwhile must not come back; GT: nor an earlier look.
if not redis.call('ZSCORE', DUE, ID) then return {'missing'} end
redis.call('ZADD', DUE, 'XX', 'GT', int(now_us() + tonumber(ARGV[2])), ID)
redis.call('HINCRBY', RECORD, 'looks', 1)
return {'ok'}
