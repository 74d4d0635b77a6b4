-- ARGV: id, fence, lease_us, value, seconds_left or empty, level, progress, level, progress ...
if not owns(ARGV[2]) then return {'lost'} end
if is_overdue() then
  end_overdue()
  return {'lost', ending()}
end
hold(ARGV[3])
local value, changed = get('progress_value'), false
if tonumber(ARGV[4]) > tonumber(value) then
  value, changed = ARGV[4], true
  redis.call('HSET', RECORD, 'progress_value', value)
end
if ARGV[5] ~= '' then redis.call('HSET', RECORD, 'seconds_left', ARGV[5]) end
for at = 6, #ARGV, 2 do
  if get('progress:' .. ARGV[at]) ~= ARGV[at + 1] then
    redis.call('HSET', RECORD, 'progress:' .. ARGV[at], ARGV[at + 1])
    changed = true
  end
end
if changed then
  local stage, levels = get('stage'), {}
  for level in pairs(LEVEL) do
    local progress = get('progress:' .. level)
    if progress then levels[#levels + 1] = '"' .. level .. '":' .. progress end
  end
  local name = LEVEL[stage] and '"' .. stage .. '"' or 'null'
  emit('progress', '{"value":' .. value .. ',"level":' .. name
       .. ',"eta_seconds":' .. (get('seconds_left') or 'null') .. ',"levels":{' .. table.concat(levels, ',') .. '}}')
end
return {'ok', get('status')}
