-- ARGV: (none), a query as JSON: {order, limit, indexes, prefixes, equal, oldest, newest, titles,
-- after, count}. Jobs that are in every index, have a word with every prefix, and have these fields
-- in their records; then, unless there are no more, the position where it stopped. With `count` only
-- how many there are, or nothing when that is too much to find out.
-- One call looks at so much only, however many jobs there are: the server does nothing else then.
local query = cjson.decode(ARGV[2])
local order, limit, indexes, after = query.order, query.limit, query.indexes, query.after
local oldest = query.oldest and '(' .. query.oldest or '-inf'
local newest = query.newest and '(' .. query.newest or '+inf'
local after_us, after_id = after[1], after[2]
local work = 0

-- Where jobs are looked for: the smallest of the indexes, or the words that begin with a prefix.
local source, words, source_prefix, words_of_prefix = nil, nil, nil, {}
local size, all_jobs = math.huge, PREFIX .. 'jobs'
local function count(index) return redis.call('ZCOUNT', index, oldest, newest) end
for _, index in ipairs(indexes) do
  local its_size = count(index)
  if its_size < size then source, size = index, its_size end
end
for _, prefix in ipairs(query.in_trash and {} or query.prefixes) do
  local found = redis.call('ZRANGEBYLEX', WORDS, '[' .. prefix, '(' .. prefix .. '\255',
                           'LIMIT', 0, MAX_WORDS_OF_PREFIX + 1)
  words_of_prefix[prefix] = found
  if #found <= MAX_WORDS_OF_PREFIX then
    local its_size = 0
    for _, word in ipairs(found) do its_size = its_size + count(word_index(word)) end
    if its_size <= size and (#found == 1 or its_size <= MAX_MERGED) then
      source, size, words, source_prefix = nil, its_size, found, prefix
    end
  end
end

-- A prefix of few words is looked up in their lists, and one of many in the words of the job.
local function has_few_words(prefix)
  return words_of_prefix[prefix] and #words_of_prefix[prefix] <= 8
end

local function has_any_word(id, words)
  for _, word in ipairs(words) do
    if redis.call('ZSCORE', word_index(word), id) then return true end
  end
  return false
end

local function passes(id)
  for _, index in ipairs(indexes) do
    -- What is in any other list is in this one.
    local is_known = index == source or index == all_jobs
    if not is_known and not redis.call('ZSCORE', index, id) then return false end
  end
  local text
  for _, prefix in ipairs(query.prefixes) do
    if prefix == source_prefix then
      -- Found by it.
    elseif has_few_words(prefix) then
      if not has_any_word(id, words_of_prefix[prefix]) then return false end
    else
      if not text then
        text = table.concat(redis.call('HVALS', PREFIX .. 'job:' .. id .. ':terms'))
        work = work + TEXT_WORK
      end
      if not text:find('\n=' .. prefix, 1, true) then return false end
    end
  end
  for field, value in pairs(query.equal) do
    if redis.call('HGET', PREFIX .. 'job:' .. id, field) ~= value then return false end
  end
  return true
end

local is_descending = order ~= 'created_at'

local function comes_before(one, other)
  if is_descending then one, other = other, one end
  if one[2] == other[2] then return one[1] < other[1] end
  return one[2] < other[2]
end

-- Ids and moments alternate, in order, from this place on.
local function range(index, first, last, offset, number)
  if is_descending then
    return redis.call('ZREVRANGEBYSCORE', index, last, first, 'LIMIT', offset, number, 'WITHSCORES')
  end
  return redis.call('ZRANGEBYSCORE', index, first, last, 'LIMIT', offset, number, 'WITHSCORES')
end

local function merged(first, last)
  local moments, pairs_in_order, flat = {}, {}, {}
  for _, word in ipairs(words) do
    local found = range(word_index(word), first, last, 0, MAX_MERGED)
    for at = 1, #found, 2 do moments[found[at]] = tonumber(found[at + 1]) end
  end
  for id, moment in pairs(moments) do pairs_in_order[#pairs_in_order + 1] = {id, moment} end
  table.sort(pairs_in_order, comes_before)
  for _, pair in ipairs(pairs_in_order) do
    flat[#flat + 1], flat[#flat + 2] = pair[1], pair[2]
  end
  return flat
end

-- Calls `visit` with each job that passes, until it returns true or this is too much work; returns
-- where that was.
local function walk(visit, max_work)
  local first, last = oldest, newest
  if after_us then
    if is_descending then last = after_us else first = after_us end
  end
  local offset = 0
  while true do
    local batch
    if words and #words ~= 1 then
      batch = offset == 0 and merged(first, last) or {}
    else
      batch = range(words and word_index(words[1]) or source, first, last, offset, 100)
    end
    for at = 1, #batch, 2 do
      local id, created_us = batch[at], tonumber(batch[at + 1])
      -- Jobs created in the same microsecond are told apart by their ids.
      local is_behind = not after_us or created_us ~= tonumber(after_us)
                        or (id ~= after_id and (id < after_id) == is_descending)
      if is_behind then
        work = work + 1
        local is_enough = passes(id) and visit(id, created_us)
        if is_enough or work >= max_work then return id, created_us end
      end
    end
    if #batch == 0 then return nil end
    offset = offset + 100
  end
end

local found = {}
-- What is gone is passed over.
local function take(id, ...)
  local record, num_moved = read(id)
  work = work + #record / 2 + num_moved
  if #record > 0 then found[#found + 1] = {id, record, ...} end
  return #found == limit
end

if query.count then
  local is_one_list = #indexes == 1 and #query.prefixes == 0 and not next(query.equal)
  local is_one_word = words and #words == 1 and #query.prefixes == 1
                      and #indexes == 1 and indexes[1] == all_jobs
  if is_one_list or is_one_word then return {size} end
  local cost, number = 1, 0
  for _, prefix in ipairs(query.prefixes) do
    if prefix ~= source_prefix and not has_few_words(prefix) then cost = 1 + TEXT_WORK end
  end
  if size * cost > MAX_COUNT_WORK then return {} end
  walk(function() number = number + 1 end, math.huge)
  return {number}
end

if order ~= 'title' then
  local id, created_us = walk(function(id, created_us) return take(id, int(created_us)) end, MAX_LIST_WORK)
  return id and {found, int(created_us), id} or {found}
end

-- By title: few are sorted here, and many are looked for in the order of all titles.
local behind = after_us and '(' .. after_us or '-'
after_us, after_id = nil, nil
if size <= MAX_SORTED then
  -- In a set, which compares bytes; what Lua compares by is the locale of the server.
  local sorted = PREFIX .. 'sorted_titles'
  walk(function(id)
    local entry = redis.call('HGET', PREFIX .. 'job:' .. id .. ':terms', 'entry')
    if entry then redis.call('ZADD', sorted, 0, entry) end
  end, math.huge)
  local entries = redis.call('ZRANGEBYLEX', sorted, behind, '+', 'LIMIT', 0, limit + 1)
  redis.call('DEL', sorted)
  for _, entry in ipairs(entries) do
    if take(entry:sub(-36), entry) then return {found, entry} end
  end
  return {found}
end

source, source_prefix = nil, nil
local function is_in_time(id)
  local created_us = tonumber(redis.call('ZSCORE', indexes[1], id) or '')
  return created_us and (not query.oldest or created_us > tonumber(query.oldest))
         and (not query.newest or created_us < tonumber(query.newest))
end
local offset = 0
while true do
  local batch = redis.call('ZRANGEBYLEX', query.titles, behind, '+', 'LIMIT', offset, 100)
  for _, entry in ipairs(batch) do
    local id = entry:sub(-36)
    work = work + 1
    local is_enough = is_in_time(id) and passes(id) and take(id, entry)
    if is_enough or work >= MAX_LIST_WORK then return {found, entry} end
  end
  if #batch == 0 then return {found} end
  offset = offset + 100
end
