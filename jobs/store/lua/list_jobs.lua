-- ARGV: newest created_us, oldest, id after which to go on or '', limit, index, index ...
-- Jobs that are in every index; then, unless there are no more, where it stopped. One call looks
-- at so much only, however many jobs there are: the server does nothing else meanwhile.
local newest, oldest, after_id, limit = unpack(ARGV)
local smallest, others, size = ARGV[5], {}, redis.call('ZCARD', ARGV[5])
for at = 6, #ARGV do
  local its_size, other = redis.call('ZCARD', ARGV[at]), ARGV[at]
  if its_size < size then smallest, other, size = other, smallest, its_size end
  others[#others + 1] = other
end

local function is_in_all(id)
  for _, index in ipairs(others) do
    if not redis.call('ZSCORE', index, id) then return false end
  end
  return true
end

local found, offset, work = {}, 0, 0
while true do
  local batch = redis.call('ZREVRANGEBYSCORE', smallest, newest, oldest, 'LIMIT', offset, 100,
                           'WITHSCORES')
  for at = 1, #batch, 2 do
    local id, created_us = batch[at], tonumber(batch[at + 1])
    -- Jobs created in the same microsecond are told apart by their ids.
    if after_id == '' or created_us ~= tonumber(newest) or id < after_id then
      work = work + 1
      if is_in_all(id) then
        local record, num_moved = read(id)
        work = work + #record / 2 + num_moved
        if #record > 0 then found[#found + 1] = {id, int(created_us), record} end
      end
      if #found == tonumber(limit) or work >= MAX_LIST_WORK then
        return {found, int(created_us), id}
      end
    end
  end
  if #batch == 0 then return {found} end
  offset = offset + 100
end
