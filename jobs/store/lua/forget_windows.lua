-- ARGV: id, fence, name, name ...
if not owns(ARGV[2]) then return {'lost'} end
local gone = {}
for at = 3, #ARGV do gone[ARGV[at]] = true end
read(ID)
local windows = redis.call('HGETALL', WINDOWS)
for at = 1, #windows, 2 do
  if gone[cjson.decode(windows[at + 1]).name] then redis.call('HDEL', WINDOWS, windows[at]) end
end
return {'ok'}
