-- In which lists a job is: sorted sets of ids by created_at, of words, and of titles.
-- Terms and parts are those of `jobs/record/search_terms.py`.

local TERMS, WORDS = RECORD .. ':terms', PREFIX .. 'words'
local TRASH = ':trash'

local function add_to(indexes, created_us)
  for _, key in ipairs(indexes) do redis.call('ZADD', key, created_us, ID) end
end

local function remove_from(indexes)
  for _, key in ipairs(indexes) do redis.call('ZREM', key, ID) end
end

-- The record must be there.
local function status_indexes(status, model)
  local by_status = PREFIX .. 'jobs:status=' .. status
  local indexes, owner = {by_status, by_status .. ':model=' .. model}, get('owner')
  if owner then indexes[#indexes + 1] = by_status .. ':owner=' .. owner end
  return indexes
end

-- The record must be there.
local function lasting_indexes(model)
  local indexes = {PREFIX .. 'jobs', PREFIX .. 'jobs:model=' .. model}
  local root, parent, parents, owner = unpack(
    redis.call('HMGET', RECORD, 'root_id', 'parent_id', 'parent_ids', 'owner'))
  if root then indexes[#indexes + 1] = PREFIX .. 'jobs:root=' .. root end
  -- Records with one parent have no list of them.
  for id in (parents or parent or ''):gmatch('%S+') do
    indexes[#indexes + 1] = PREFIX .. 'jobs:parent=' .. id
  end
  if owner then indexes[#indexes + 1] = PREFIX .. 'jobs:owner=' .. owner end
  return indexes
end

-- Lists of everybody and of the owner. `where` is TRASH or '' for the jobs that are in use.
local function scopes(where)
  local owner = get('owner') or redis.call('HGET', TERMS, 'owner')
  return owner and {where, where .. ':owner=' .. owner} or {where}
end

local function place() return get('deleted_at') and TRASH or '' end

local function is_word(term) return term:sub(1, 1) == '=' end

local function word_index(word) return PREFIX .. 'jobs:word=' .. word end

-- Texts of parts -> term -> true
local function terms_in(parts)
  local terms = {}
  for _, part in ipairs(parts) do
    for term in part:gmatch('\n([^\n]+)') do terms[term] = true end
  end
  return terms
end

local function all_terms()
  local parts = {}
  for at, value in ipairs(redis.call('HVALS', TERMS)) do parts[at] = value end
  return terms_in(parts)
end

-- What is in the trash is too little, and too soon gone, for an index of words.
local function enter_term(term, where, created_us)
  if not is_word(term) then
    for _, scope in ipairs(scopes(where)) do
      redis.call('ZADD', PREFIX .. 'jobs' .. scope .. ':' .. term, created_us, ID)
    end
  elseif where == '' then
    redis.call('ZADD', word_index(term:sub(2)), created_us, ID)
    redis.call('ZADD', WORDS, 0, term:sub(2))
  end
end

local function leave_term(term, where)
  if not is_word(term) then
    for _, scope in ipairs(scopes(where)) do
      redis.call('ZREM', PREFIX .. 'jobs' .. scope .. ':' .. term, ID)
    end
  elseif where == '' then
    local index = word_index(term:sub(2))
    redis.call('ZREM', index, ID)
    if redis.call('EXISTS', index) == 0 then redis.call('ZREM', WORDS, term:sub(2)) end
  end
end

local function leave_titles(where)
  local entry = redis.call('HGET', TERMS, 'entry')
  if not entry then return end
  for _, scope in ipairs(scopes(where)) do
    redis.call('ZREM', PREFIX .. 'titles' .. scope, entry)
  end
end

-- Jobs without a title come last, the newest first.
local function enter_titles(where, created_us)
  local sort = redis.call('HGET', TERMS, 'sort')
  if not sort then return end
  if sort == '' then
    sort = '1' .. string.format('%016.0f', 9007199254740991 - tonumber(created_us))
  else
    sort = '0' .. sort
  end
  local entry = sort .. '\0' .. ID
  redis.call('HSET', TERMS, 'entry', entry)
  for _, scope in ipairs(scopes(where)) do
    redis.call('ZADD', PREFIX .. 'titles' .. scope, 0, entry)
  end
end

-- The record must be there; without its terms, which an older release does not write, it is in the
-- lists that this release knew.
local function enter_lists()
  local status, model, created_us = unpack(
    redis.call('HMGET', RECORD, 'status', 'model', 'created_at'))
  local where = place()
  if where == '' then
    add_to(lasting_indexes(model), created_us)
    add_to(status_indexes(status, model), created_us)
  else
    for _, scope in ipairs(scopes(where)) do add_to({PREFIX .. 'jobs' .. scope}, created_us) end
  end
  for term in pairs(all_terms()) do enter_term(term, where, created_us) end
  enter_titles(where, created_us)
end

local function leave_terms(where)
  for term in pairs(all_terms()) do leave_term(term, where) end
  leave_titles(where)
end

-- The record must be there.
local function leave_lists()
  local status, model = unpack(redis.call('HMGET', RECORD, 'status', 'model'))
  local where = place()
  if where == '' then
    remove_from(lasting_indexes(model))
    remove_from(status_indexes(status, model))
  else
    for _, scope in ipairs(scopes(where)) do remove_from({PREFIX .. 'jobs' .. scope}) end
  end
  leave_terms(where)
end
