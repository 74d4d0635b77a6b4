-- ARGV: (none), index, limit. Ids and moments, the longest past first.
return redis.call('ZRANGEBYSCORE', PREFIX .. ARGV[2], '-inf', int(now_us()), 'WITHSCORES',
                  'LIMIT', 0, ARGV[3])
