"""The Lua that runs inside the server: each script is one atomic change of one job.

All keys begin with `jukebox:`:

    job:{id}                         hash    the record (`jobs/job_codec.py`)
    job:{id}:events                  stream  what happened to it
    jobs[:status=S][:model=M]        zset    ids by created_at, for lists, counts and the queue
    jobs:root=R, jobs:parent=P       zset    ids by created_at: a tree of jobs, and one generation
    due                              zset    ids by the moment at which somebody should look
    rates:{model}                    hash    stage -> mean tokens per second
    workers, worker_ends             hash and zset: who lives, and until when we believe it

The scripts name keys that are not in KEYS, so one server (or a primary with replicas) is needed,
not a cluster. Lua numbers are doubles: microseconds fit (below 2**53) but must be written with
`int`, because `tostring` keeps 14 digits only.
"""

from collections.abc import Iterable

from jobs.job import NEXT_STATUSES, TERMINAL_STATUSES
from jobs.request import LEVEL_NAMES

KEY_PREFIX = "jukebox:"
MAX_EVENTS = 1000
RATE_WEIGHT = 0.25
"""Share of the newest measurement in a mean speed."""


def events_key(job_id: str) -> str:
    """The stream of one job's events."""
    return f"{KEY_PREFIX}job:{job_id}:events"


def record_key(job_id: str) -> str:
    """The hash of one job's record."""
    return f"{KEY_PREFIX}job:{job_id}"


def index_key(*, status: str | None = None, model: str | None = None) -> str:
    """The sorted set that lists the jobs with this status and model; None means any."""
    by_status = f":status={status}" if status is not None else ""
    by_model = f":model={model}" if model is not None else ""
    return f"{KEY_PREFIX}jobs{by_status}{by_model}"


def root_index_key(root_id: str) -> str:
    """The sorted set of a job and everything that goes on from it."""
    return f"{KEY_PREFIX}jobs:root={root_id}"


def parent_index_key(parent_id: str) -> str:
    """The sorted set of the jobs that go on from this one directly."""
    return f"{KEY_PREFIX}jobs:parent={parent_id}"


def _lua_set(words: Iterable[str]) -> str:
    return "{" + ", ".join(f"['{word}'] = true" for word in sorted(words)) + "}"


_TABLES = "\n".join(
    [
        f"local PREFIX = '{KEY_PREFIX}'",
        f"local MAX_EVENTS = '{MAX_EVENTS}'",
        f"local TERMINAL = {_lua_set(TERMINAL_STATUSES)}",
        f"local LEVEL = {_lua_set(LEVEL_NAMES)}",
        "local NEXT = {",
        *(f"  ['{status}'] = {_lua_set(after)}," for status, after in NEXT_STATUSES.items()),
        "}",
    ]
)

_PRELUDE = (
    _TABLES
    + """
local ID = ARGV[1]
local RECORD = PREFIX .. 'job:' .. (ID or '')
local EVENTS = RECORD .. ':events'
local DUE = PREFIX .. 'due'

local function int(number) return string.format('%.0f', number) end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function get(field) return redis.call('HGET', RECORD, field) end

local function emit(kind, data)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', MAX_EVENTS, '*', 'kind', kind, 'data', data)
end

local function emit_status()
  emit('status', cjson.encode({status = get('status'), stage = get('stage')}))
end

local function look_again_at(moment_us) redis.call('ZADD', DUE, int(moment_us), ID) end

local function status_indexes(status, model)
  local by_status = PREFIX .. 'jobs:status=' .. status
  return {by_status, by_status .. ':model=' .. model}
end

-- The record must be there.
local function lasting_indexes(model)
  local indexes = {PREFIX .. 'jobs', PREFIX .. 'jobs:model=' .. model}
  local root, parent = unpack(redis.call('HMGET', RECORD, 'root_id', 'parent_id'))
  if root then indexes[#indexes + 1] = PREFIX .. 'jobs:root=' .. root end
  if parent then indexes[#indexes + 1] = PREFIX .. 'jobs:parent=' .. parent end
  return indexes
end

local function add_to(indexes, created_us)
  for _, key in ipairs(indexes) do redis.call('ZADD', key, created_us, ID) end
end

local function remove_from(indexes)
  for _, key in ipairs(indexes) do redis.call('ZREM', key, ID) end
end

-- The only place where a status changes.
local function become(status)
  local record = redis.call('HMGET', RECORD, 'status', 'model', 'created_at')
  local from, model, created_us = unpack(record)
  if not NEXT[from][status] then return false end
  remove_from(status_indexes(from, model))
  add_to(status_indexes(status, model), created_us)
  redis.call('HSET', RECORD, 'status', status)
  if TERMINAL[status] then
    redis.call('HSET', RECORD, 'completed_at', int(now_us()))
    redis.call('HDEL', RECORD, 'lease_expires_at')
    redis.call('ZREM', DUE, ID)
  end
  emit_status()
  return true
end

-- A lease that ran out still belongs to its holder until somebody else claims the job.
local function owns(fence)
  local record = redis.call('HMGET', RECORD, 'fence', 'lease_expires_at', 'status')
  return record[1] == fence and record[2] and not TERMINAL[record[3]]
end

local function hold(lease_us)
  local ends_us = now_us() + tonumber(lease_us)
  redis.call('HSET', RECORD, 'lease_expires_at', int(ends_us))
  look_again_at(ends_us)
end

local function is_held()
  local ends_us = get('lease_expires_at')
  return ends_us and tonumber(ends_us) > now_us()
end

local function give_back(resend_us)
  redis.call('HDEL', RECORD, 'lease_expires_at')
  look_again_at(now_us() + tonumber(resend_us))
end
"""
)

_BODIES = {
    # id, created_us, model, resend_us, field, value, field, value ...
    "create": """
if redis.call('EXISTS', RECORD) == 1 then return {'refused', get('status')} end
redis.call('HSET', RECORD, unpack(ARGV, 5))
add_to(lasting_indexes(ARGV[3]), ARGV[2])
add_to(status_indexes('queued', ARGV[3]), ARGV[2])
look_again_at(now_us() + tonumber(ARGV[4]))
emit_status()
return {'ok'}
""",
    # index, newest created_us, oldest, cursor id or '', limit, status or '', model or ''
    "list_jobs": """
local index, newest, oldest, cursor, limit, status, model = unpack(ARGV)
local found, offset = {}, 0
limit = tonumber(limit)

local function is_wanted(record)
  if status == '' and model == '' then return true end
  local its_status, its_model = unpack(redis.call('HMGET', record, 'status', 'model'))
  return (status == '' or status == its_status) and (model == '' or model == its_model)
end

while #found < limit do
  local batch = redis.call('ZREVRANGEBYSCORE', index, newest, oldest, 'LIMIT', offset, limit,
                           'WITHSCORES')
  if #batch == 0 then break end
  for at = 1, #batch, 2 do
    -- Jobs created in the same microsecond are told apart by their ids.
    local passed = cursor ~= '' and tonumber(batch[at + 1]) == tonumber(newest)
                   and batch[at] >= cursor
    local record = PREFIX .. 'job:' .. batch[at]
    if not passed and #found < limit and is_wanted(record) then
      found[#found + 1] = redis.call('HGETALL', record)
    end
  end
  offset = offset + limit
end
return found
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
return {'ok', redis.call('HGETALL', RECORD)}
""",
    # id
    "delete": """
local status, model = unpack(redis.call('HMGET', RECORD, 'status', 'model'))
if not status then return {'missing'} end
if not TERMINAL[status] then return {'refused', status} end
remove_from(lasting_indexes(model))
remove_from(status_indexes(status, model))
redis.call('ZREM', DUE, ID)
redis.call('DEL', RECORD, EVENTS)
return {'ok'}
""",
    # id, stage, worker, lease_us, max_attempts, error when there were too many crashes
    "claim": """
local status, stage = unpack(redis.call('HMGET', RECORD, 'status', 'stage'))
if not status or TERMINAL[status] or stage ~= ARGV[2] or is_held() then return {'none'} end
if status == 'canceling' then
  become('canceled')
  return {'none'}
end
if get('lease_expires_at') then
  if tonumber(get('attempt')) >= tonumber(ARGV[5]) then
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
  redis.call('HSET', RECORD, 'started_at', int(now_us()))
  become('running')
else
  emit_status()
end
return {'ok', fence, redis.call('HGETALL', RECORD)}
""",
    # id, fence, lease_us, value, level, progress, level, progress ...
    "heartbeat": """
if not owns(ARGV[2]) then return {'lost'} end
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
    # id, fence, field, value
    "set_field": """
if not owns(ARGV[2]) then return {'lost'} end
redis.call('HSET', RECORD, ARGV[3], ARGV[4])
return {'ok'}
""",
    # id, fence, name, name ...
    "forget_windows": """
if not owns(ARGV[2]) then return {'lost'} end
local gone = {}
for at = 3, #ARGV do gone[ARGV[at]] = true end
for _, field in ipairs(redis.call('HKEYS', RECORD)) do
  if field:sub(1, 7) == 'window:' and gone[cjson.decode(get(field)).name] then
    redis.call('HDEL', RECORD, field)
  end
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
    # id, fence, next_stage, metrics, codes_name, resend_us
    "finish_stage": """
if not owns(ARGV[2]) then return {'lost'} end
redis.call('HSET', RECORD, 'metrics:' .. get('stage'), ARGV[4],
           'codes_name', ARGV[5], 'stage', ARGV[3])
give_back(ARGV[6])
emit('stage', cjson.encode({stage = ARGV[3]}))
if get('status') == 'canceling' then become('canceled') end
return {'ok'}
""",
    # id, fence, status, field, value ...
    "finish": """
if not owns(ARGV[2]) then return {'lost'} end
local from = get('status')
if not NEXT[from][ARGV[3]] then return {'refused', from} end
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
  local stage, status = unpack(redis.call('HMGET', PREFIX .. 'job:' .. id, 'stage', 'status'))
  found[#found + 1] = {id, stage, status}
end
return found
""",
    # id, microseconds. XX: a job that ended meanwhile must not come back; GT: nor an earlier look.
    "postpone": """
redis.call('ZADD', DUE, 'XX', 'GT', int(now_us() + tonumber(ARGV[2])), ID)
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

SCRIPTS = {name: _PRELUDE + body for name, body in _BODIES.items()}
"""Name -> complete source. The comment above each body names its arguments in order."""
