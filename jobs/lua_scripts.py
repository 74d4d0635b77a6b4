"""What each script does after the prelude of `jobs/lua.py`, by name.

The comment above each names its arguments (ARGV) in order.
"""

from collections.abc import Mapping

MAX_LIST_WORK = 5000
"""Entries of an index and fields of records that one call of `list_jobs` looks at."""

BODIES: Mapping[str, str] = {
    # id, created_us, model, resend_us, idempotency key or '', request hash, kept_ms,
    # owner or '', three limits, audio_ms, its limit a day, field, value, field, value ...
    "create": """
if redis.call('EXISTS', RECORD) == 1 then return {'refused', get('status')} end
local key, request_hash, kept_ms = ARGV[5], ARGV[6], ARGV[7]
if key ~= '' then
  local reply = replay(key, request_hash)
  if reply then return reply end
end
local refusal = limit_reached(unpack(ARGV, 8, 11)) or take_audio(ARGV[8], ARGV[12], ARGV[13])
if refusal then return refusal end
if key ~= '' then
  redis.call('SET', key, request_hash .. ' ' .. ID, 'PX', kept_ms)
  redis.call('HSET', RECORD, 'idempotency_key', key)
end
redis.call('HSET', RECORD, unpack(ARGV, 14))
read(ID)
begin_deadline()
add_to(lasting_indexes(ARGV[3]), ARGV[2])
add_to(status_indexes('queued', ARGV[3]), ARGV[2])
look_again_at(now_us() + tonumber(ARGV[4]))
emit_status()
return {'ok'}
""",
    # (none), idempotency key, request hash
    "replay": "return replay(ARGV[2], ARGV[3]) or {'none'}\n",
    # id
    "disown": """
if not get('status') then return {'missing'} end
if get('replayed') then return {'kept'} end
free_idempotency_key()
return {'ok'}
""",
    # (none), kind:owner, tokens per minute, which is also what the bucket holds
    "take_token": """
local key, capacity, now = PREFIX .. 'bucket:' .. ARGV[2], tonumber(ARGV[3]), now_us()
local tokens_per_us, wait_us = capacity / 60000000, 0
local tokens, counted_us = unpack(redis.call('HMGET', key, 'tokens', 'counted_at'))
local passed_us = math.max(now - (counted_us or now), 0)
tokens = math.min((tokens or capacity) + passed_us * tokens_per_us, capacity)
if tokens >= 1 then tokens = tokens - 1 else wait_us = (1 - tokens) / tokens_per_us end
redis.call('HSET', key, 'tokens', string.format('%.17g', tokens), 'counted_at', int(now))
redis.call('PEXPIRE', key, 61000)
return int(math.ceil(wait_us))
""",
    # id, '1' to have the windows as well
    "get": """
local record = read(ID)
return {record, ARGV[2] == '1' and redis.call('HGETALL', WINDOWS) or {}}
""",
    # newest created_us, oldest, id after which to go on or '', limit, index, index ...
    # Jobs that are in every index; then, unless there are no more, where it stopped. One call looks
    # at so much only, however many jobs there are: the server does nothing else meanwhile.
    "list_jobs": f"""
local MAX_WORK = {MAX_LIST_WORK}
"""
    + """
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
      if #found == tonumber(limit) or work >= MAX_WORK then
        return {found, int(created_us), id}
      end
    end
  end
  if #batch == 0 then return {found} end
  offset = offset + 100
end
""",
    # id, resend_us
    "request_cancel": """
local status = get('status')
if not status then return {'missing'} end
if status == 'queued' then
  become('canceled')
elseif not TERMINAL[status] then
  if status == 'running' then become('canceling') end
  if not is_held() then become('canceled') end
end
return {'ok', (read(ID))}
""",
    # id, resend_us, idempotency key or '', request hash, kept_ms, three limits, limit of audio_ms a
    # day. What was drawn stays; so does `started_at`, since drawing had begun then.
    "retry": """
local status, error = unpack(redis.call('HMGET', RECORD, 'status', 'error'))
if not status then return {'missing'} end
local key, request_hash, kept_ms, owner = ARGV[3], ARGV[4], ARGV[5], get('owner') or ''
if key ~= '' then
  local reply = replay(key, request_hash)
  if reply then return reply end
end
if status ~= 'failed' then return {'refused', status} end
if not (error and cjson.decode(error).retryable) then return {'final'} end
local refusal = limit_reached(owner, unpack(ARGV, 6, 8))
local audio_ms = get('audio_ms')
if not refusal and audio_ms and not get('audio_key') then
  refusal = take_audio(owner, audio_ms, ARGV[9])
end
if refusal then return refusal end
if key ~= '' then redis.call('SET', key, request_hash .. ' ' .. ID, 'PX', kept_ms) end
end_lifetime()
redis.call('HDEL', RECORD, 'error', 'completed_at', 'worker', 'codes_expire_at')
redis.call('HSET', RECORD, 'attempt', 1)
begin_deadline()
become('queued')
look_again_at(now_us() + tonumber(ARGV[2]))
return {'ok', (read(ID))}
""",
    # id
    "delete": """
local status = get('status')
if not status then return {'missing'} end
if not TERMINAL[status] then return {'refused', status} end
forget()
return {'ok'}
""",
    # id, stage, worker, lease_us, max_attempts, error when there were too many crashes
    "claim": """
local status, stage = unpack(redis.call('HMGET', RECORD, 'status', 'stage'))
if not NEXT[status] or TERMINAL[status] or stage ~= ARGV[2] or is_held() then return {'none'} end
if status == 'canceling' then
  become('canceled')
  return {'none'}
end
if is_overdue() then
  end_overdue()
  return {'none'}
end
if get('lease_expires_at') then
  if redis.call('HINCRBY', RECORD, 'crashes', 1) >= tonumber(ARGV[5]) then
    redis.call('HSET', RECORD, 'error', ARGV[6])
    become('failed')
    return {'none'}
  end
  redis.call('HINCRBY', RECORD, 'attempt', 1)
end
local fence = redis.call('HINCRBY', RECORD, 'fence', 1)
redis.call('HSET', RECORD, 'worker', ARGV[3])
hold(ARGV[4])
if status == 'queued' then
  redis.call('HSETNX', RECORD, 'started_at', int(now_us()))
  become('running')
else
  emit_status()
end
local record = read(ID)
return {'ok', fence, record, redis.call('HGETALL', WINDOWS)}
""",
    # id, fence, lease_us, value, level, progress, level, progress ...
    "heartbeat": """
if not owns(ARGV[2]) then return {'lost'} end
if is_overdue() then
  end_overdue()
  return {'lost'}
end
hold(ARGV[3])
local value, changed = get('progress_value'), false
if tonumber(ARGV[4]) > tonumber(value) then
  value, changed = ARGV[4], true
  redis.call('HSET', RECORD, 'progress_value', value)
end
for at = 5, #ARGV, 2 do
  if get('progress:' .. ARGV[at]) ~= ARGV[at + 1] then
    redis.call('HSET', RECORD, 'progress:' .. ARGV[at], ARGV[at + 1])
    changed = true
  end
end
if changed then
  local stage, levels = get('stage'), {}
  for level in pairs(LEVEL) do
    local progress = get('progress:' .. level)
    if progress then levels[#levels + 1] = '"' .. level .. '":' .. progress end
  end
  local name = LEVEL[stage] and '"' .. stage .. '"' or 'null'
  emit('progress', '{"value":' .. value .. ',"level":' .. name
       .. ',"levels":{' .. table.concat(levels, ',') .. '}}')
end
return {'ok', get('status')}
""",
    # id, fence, field, value, field, value ...
    "set_fields": """
if not owns(ARGV[2]) then return {'lost'} end
for at = 3, #ARGV, 2 do redis.call('HSET', RECORD, ARGV[at], ARGV[at + 1]) end
return {'ok'}
""",
    # id, fence, field, window
    "record_window": """
if not owns(ARGV[2]) then return {'lost'} end
redis.call('HSET', WINDOWS, ARGV[3], ARGV[4])
redis.call('HDEL', RECORD, 'crashes')
return {'ok'}
""",
    # id, fence, name, name ...
    "forget_windows": """
if not owns(ARGV[2]) then return {'lost'} end
local gone = {}
for at = 3, #ARGV do gone[ARGV[at]] = true end
read(ID)
local windows = redis.call('HGETALL', WINDOWS)
for at = 1, #windows, 2 do
  if gone[cjson.decode(windows[at + 1]).name] then redis.call('HDEL', WINDOWS, windows[at]) end
end
return {'ok'}
""",
    # id, fence, field, output, event, field, output, event ...
    "record_outputs": """
if not owns(ARGV[2]) then return {'lost'} end
for at = 3, #ARGV, 3 do
  redis.call('HSET', RECORD, ARGV[at], ARGV[at + 1])
  emit('output', ARGV[at + 2])
end
return {'ok'}
""",
    # id, fence, next_stage, metrics, codes_name, resend_us, stage
    "finish_stage": """
if not owns(ARGV[2]) or get('stage') ~= ARGV[7] then return {'lost'} end
end_level(ARGV[3], ARGV[4], ARGV[5])
give_back(ARGV[6])
if get('status') == 'canceling' then become('canceled') end
return {'ok'}
""",
    # id, fence, next_stage, metrics, codes_name, lease_us, stage. Once done, it is not done again:
    # its answer may have been lost.
    "go_on": """
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
""",
    # id, fence, status, field, value ...
    "finish": """
if not owns(ARGV[2]) then return {'lost'} end
local from = get('status')
if not can_become(from, ARGV[3]) then return {'refused', from} end
if #ARGV > 3 then redis.call('HSET', RECORD, unpack(ARGV, 4)) end
become(ARGV[3])
return {'ok'}
""",
    # id, fence, resend_us
    "release": """
if not owns(ARGV[2]) then return {'lost'} end
give_back(ARGV[3])
if get('status') == 'canceling' then become('canceled') else emit_status() end
return {'ok'}
""",
    # limit
    "due": """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', int(now_us()), 'LIMIT', 0, ARGV[1])) do
  local stage, status, lease, looks = unpack(redis.call(
    'HMGET', PREFIX .. 'job:' .. id, 'stage', 'status', 'lease_expires_at', 'looks'))
  if status and not (NEXT[status] and STAGE[stage]) then
    -- A newer release knows what to do with it; it must not hide the others.
    redis.call('ZADD', DUE, int(now_us() + 60000000), id)
  elseif status then
    found[#found + 1] = {id, stage, status, lease and '1' or '', looks or '0'}
  else
    redis.call('ZREM', DUE, id)
  end
end
return found
""",
    # id, microseconds. XX: a job that ended meanwhile must not come back; GT: nor an earlier look.
    "postpone": """
if not redis.call('ZSCORE', DUE, ID) then return {'missing'} end
redis.call('ZADD', DUE, 'XX', 'GT', int(now_us() + tonumber(ARGV[2])), ID)
redis.call('HINCRBY', RECORD, 'looks', 1)
return {'ok'}
""",
    # model, stage, tokens_per_second, weight
    "record_rate": """
local key, measured = PREFIX .. 'rates:' .. ARGV[1], tonumber(ARGV[3])
local mean = tonumber(redis.call('HGET', key, ARGV[2]) or ARGV[3])
mean = mean + (measured - mean) * tonumber(ARGV[4])
redis.call('HSET', key, ARGV[2], string.format('%.17g', mean))
return {'ok'}
""",
    # name, description, ttl_us
    "announce_worker": """
local now = now_us()
redis.call('ZADD', PREFIX .. 'worker_ends', int(now + tonumber(ARGV[3])), ARGV[1])
redis.call('HSET', PREFIX .. 'workers', ARGV[1], int(now) .. ' ' .. ARGV[2])
return {'ok'}
""",
    "workers": """
local ends, workers, found = PREFIX .. 'worker_ends', PREFIX .. 'workers', {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', int(now_us()))) do
  redis.call('ZREM', ends, name)
  redis.call('HDEL', workers, name)
end
local flat = redis.call('HGETALL', workers)
for at = 1, #flat, 2 do
  local seen_us, description = flat[at + 1]:match('^(%d+) (.*)$')
  found[#found + 1] = {flat[at], seen_us, description}
end
return found
""",
}
