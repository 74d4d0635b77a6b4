-- ARGV: id, moment at which it was seen. It goes behind the others.
if redis.call('ZSCORE', UNTIDY, ID) == ARGV[2] then look_at_files(0) end
return {'ok'}
