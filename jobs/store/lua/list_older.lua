-- ARGV: id, number of fields * 2, field, text or '' ..., part, terms ... Gives a record of an older
-- release its terms, unless it has some or these fields are others by now.
for _, field in ipairs({'status', 'model', 'created_at'}) do
  if not get(field) then return {'kept'} end
end
if redis.call('EXISTS', TERMS) == 1 then return {'kept'} end
local last_field = 2 + tonumber(ARGV[2])
for at = 3, last_field, 2 do
  if (get(ARGV[at]) or '') ~= ARGV[at + 1] then return {'kept'} end
end
redis.call('HSET', TERMS, unpack(ARGV, last_field + 1))
enter_lists()
return {'ok'}
