-- ARGV: id, fence, next_stage, metrics, codes_name, lease_us, stage. Once done, it is not done again:
-- its answer may have been lost.
if not owns(ARGV[2]) then return {'lost'} end
local stage = get('stage')
if stage == ARGV[7] then
  end_level(ARGV[3], ARGV[4], ARGV[5])
elseif stage ~= ARGV[3] then
  return {'lost'}
end
hold(ARGV[6])
local record = read(ID)
return {'ok', record, redis.call('HGETALL', WINDOWS)}
