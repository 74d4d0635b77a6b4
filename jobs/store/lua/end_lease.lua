-- ARGV: id, worker, which is known to be dead: its lease need not run out first.
if get('worker') ~= ARGV[2] or TERMINAL[get('status')] or not is_held() then return {'none'} end
hold('0')
return {'ok'}
