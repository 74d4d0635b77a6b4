-- ARGV: id, '1' to have the windows as well
local record = read(ID)
return {record, ARGV[2] == '1' and redis.call('HGETALL', WINDOWS) or {}}
