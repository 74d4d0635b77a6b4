-- ARGV: id, number of fields * 2, field, text or '' ..., part, terms, part, terms ...
-- An event names the fields that are others now.
local created_us, where = get('created_at'), place()
if not created_us or where == TRASH then return {'missing'} end
local changed, last_field = {}, 2 + tonumber(ARGV[2])
for at = 3, last_field, 2 do
  local field, text = ARGV[at], ARGV[at + 1]
  if (get(field) or '') ~= text then
    if text == '' then redis.call('HDEL', RECORD, field) else redis.call('HSET', RECORD, field, text) end
    changed[#changed + 1] = field
  end
end
-- A record of an older release has no terms yet: they will be made of what it says now.
if redis.call('EXISTS', TERMS) == 1 and last_field < #ARGV then
  local before = all_terms()
  leave_titles(where)
  redis.call('HSET', TERMS, unpack(ARGV, last_field + 1))
  local after = all_terms()
  for term in pairs(before) do if not after[term] then leave_term(term, where) end end
  for term in pairs(after) do if not before[term] then enter_term(term, where, created_us) end end
  enter_titles(where, created_us)
end
if #changed > 0 then emit('changed', cjson.encode({fields = changed})) end
return {'ok', (read(ID))}
