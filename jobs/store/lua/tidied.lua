-- ARGV: id, moment at which it was seen or ''. What became untidy since then is looked at again.
if ARGV[2] == '' or redis.call('ZSCORE', UNTIDY, ID) == ARGV[2] then
  redis.call('ZREM', UNTIDY, ID)
end
return {'ok'}
