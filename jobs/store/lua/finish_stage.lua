-- ARGV: id, fence, next_stage, metrics, codes_name, resend_us, stage
if not owns(ARGV[2]) or get('stage') ~= ARGV[7] then return {'lost'} end
end_level(ARGV[3], ARGV[4], ARGV[5])
give_back(ARGV[6])
if get('status') == 'canceling' then become('canceled') end
return {'ok'}
