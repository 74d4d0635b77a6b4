-- ARGV: id, field, text or '', field, text or '' ... An event names the fields that are others now.
if not get('status') then return {'missing'} end
local changed = {}
for at = 2, #ARGV, 2 do
  local field, text = ARGV[at], ARGV[at + 1]
  if (get(field) or '') ~= text then
    if text == '' then redis.call('HDEL', RECORD, field) else redis.call('HSET', RECORD, field, text) end
    changed[#changed + 1] = field
  end
end
if #changed > 0 then emit('changed', cjson.encode({fields = changed})) end
return {'ok', (read(ID))}
