-- ARGV: id, fence, resend_us
if not owns(ARGV[2]) then return {'lost'} end
give_back(ARGV[3])
if get('status') == 'canceling' then become('canceled') else emit_status() end
return {'ok'}
