-- ARGV: (none), idempotency key, request hash, kept_ms, what it stands for, what is gone or ''
local known = redis.call('GET', ARGV[2])
if known then
  local its_hash, id = known:match('^(%x+) (.*)$')
  if its_hash ~= ARGV[3] then return {'reused'} end
  if id ~= ARGV[6] then return {'replayed', id} end
end
if ARGV[5] ~= '' then
  redis.call('SET', ARGV[2], ARGV[3] .. ' ' .. ARGV[5], 'PX', ARGV[4])
end
return {'ok'}
