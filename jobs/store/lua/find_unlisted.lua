-- ARGV: (none), rank from which to look, number. Ids of jobs without terms, which an older release
-- wrote; ids in lists whose job an older release deleted; and whether there is more behind these.
local first, number = tonumber(ARGV[2]), tonumber(ARGV[3])
local without_terms, gone, num_seen = {}, {}, 0
for _, id in ipairs(redis.call('ZREVRANGE', PREFIX .. 'jobs', first, first + number - 1)) do
  num_seen = num_seen + 1
  if redis.call('EXISTS', PREFIX .. 'job:' .. id .. ':terms') == 0 then
    without_terms[#without_terms + 1] = id
  end
end
for _, place in ipairs({'', TRASH}) do
  local titles = PREFIX .. 'titles' .. place
  for _, entry in ipairs(redis.call('ZREVRANGE', titles, first, first + number - 1)) do
    num_seen = num_seen + 1
    local id = entry:sub(-36)
    if redis.call('EXISTS', PREFIX .. 'job:' .. id) == 0 then gone[#gone + 1] = id end
  end
end
return {without_terms, gone, num_seen > 0 and 1 or 0}
