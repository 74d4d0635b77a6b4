"""The Lua that runs inside the server: each script is one atomic change of one job.

All keys begin with `jukebox:`:

    job:{id}                         hash    the record (`jobs/record/codec.py`)
    job:{id}:windows                 hash    its windows, hundreds of them: reads go without
    job:{id}:events                  stream  what happened to it
    jobs[:status=S][:model=M]        zset    ids by created_at, for lists, counts and the queue
    jobs:status=S:owner=O            zset    the same for one API key, for its limits
    jobs:root=R, jobs:parent=P       zset    ids by created_at: a tree of jobs, and one generation
    jobs:owner=O                     zset    ids by created_at: the jobs of one API key
    idempotency:{hash}               string  request hash and job id, forgotten after a day
    due                              zset    ids by the moment at which somebody should look
    deadlines, expiries, ...         zsets   ids by moments to come (`jobs/lua_lifetimes.py`)
    bucket:{kind}:{owner}            hash    tokens left of one API key, and when they were counted
    rates:{model}                    hash    stage -> mean tokens per second
    webhooks, webhook:{id}, ...              messages to be sent (`jobs/lua_webhooks.py`)
    data_folder                      string  a token (`jobs/files/shared_folder.py`)
    workers, worker_ends             hash and zset: who lives, and until when we believe it

The scripts name keys that are not in KEYS, so one server (or a primary with replicas) is needed,
not a cluster. Lua numbers are doubles: microseconds fit (below 2**53) but must be written with
`int`, because `tostring` keeps 14 digits only.
"""

from collections.abc import Iterable

from jobs import lua_lifetimes, lua_webhooks
from jobs.lua_scripts import BODIES
from jobs.record.job import NEXT_STATUSES, TERMINAL_STATUSES, Stage
from jobs.record.request import LEVEL_NAMES

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


def index_key(
    *, status: str | None = None, model: str | None = None, owner: str | None = None
) -> str:
    """The sorted set of the jobs with this status and this model or owner; None means any."""
    named = (("status", status), ("model", model), ("owner", owner))
    return f"{KEY_PREFIX}jobs" + "".join(f":{n}={value}" for n, value in named if value is not None)


def root_index_key(root_id: str) -> str:
    """The sorted set of a job and everything that goes on from it."""
    return f"{KEY_PREFIX}jobs:root={root_id}"


def parent_index_key(parent_id: str) -> str:
    """The sorted set of the jobs that go on from this one directly."""
    return f"{KEY_PREFIX}jobs:parent={parent_id}"


def filter_index_keys(status: str | None, model: str | None, owner: str | None) -> list[str]:
    """The sorted sets of which a job that passes these filters is in every one."""
    if owner is None:
        return [index_key(status=status, model=model)]
    if model is None:
        return [index_key(status=status, owner=owner)]
    return [index_key(status=status, owner=owner), index_key(status=status, model=model)]


def idempotency_key(digest: str) -> str:
    """The string behind one idempotency key of one caller, of which `digest` is the hash."""
    return f"{KEY_PREFIX}idempotency:{digest}"


def _lua_set(words: Iterable[str]) -> str:
    return "{" + ", ".join(f"['{word}'] = true" for word in sorted(words)) + "}"


_TABLES = "\n".join(
    [
        f"local PREFIX = '{KEY_PREFIX}'",
        f"local MAX_EVENTS = '{MAX_EVENTS}'",
        f"local TERMINAL = {_lua_set(TERMINAL_STATUSES)}",
        f"local LEVEL = {_lua_set(LEVEL_NAMES)}",
        f"local STAGE = {_lua_set(Stage)}",
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
local EVENTS, WINDOWS = RECORD .. ':events', RECORD .. ':windows'
local DUE = PREFIX .. 'due'

local function int(number) return string.format('%.0f', number) end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function get(field) return redis.call('HGET', RECORD, field) end

local function is_window(field) return field:sub(1, 7) == 'window:' end

-- A record without its windows, and how many of them were moved: older releases keep them in it.
local function read(id)
  local key = PREFIX .. 'job:' .. id
  local flat, rest, windows = redis.call('HGETALL', key), {}, {}
  for at = 1, #flat, 2 do
    local part = is_window(flat[at]) and windows or rest
    part[#part + 1], part[#part + 2] = flat[at], flat[at + 1]
  end
  for at = 1, #windows, 2 do
    redis.call('HSET', key .. ':windows', windows[at], windows[at + 1])
    redis.call('HDEL', key, windows[at])
  end
  return rest, #windows / 2
end

local function can_become(from, status) return NEXT[from] and NEXT[from][status] end

-- Whether the status is one that only a newer release knows: then the job is its duty, and looked
-- at again in a minute, behind the others in this index.
local function is_of_newer_release(index)
  local status = get('status')
  if not status or NEXT[status] then return false end
  redis.call('ZADD', index, int(now_us() + 60000000), ID)
  return true
end

local function emit(kind, data)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', MAX_EVENTS, '*', 'kind', kind, 'data', data)
end

local function emit_status()
  emit('status', cjson.encode({status = get('status'), stage = get('stage')}))
end

-- `looks` counts how often the job was found due since then.
local function look_again_at(moment_us)
  redis.call('ZADD', DUE, int(moment_us), ID)
  redis.call('HDEL', RECORD, 'looks')
end
"""
    + lua_webhooks.NOTIFY
    + lua_lifetimes.LIFETIMES
    + """

-- The record must be there.
local function status_indexes(status, model)
  local by_status = PREFIX .. 'jobs:status=' .. status
  local indexes, owner = {by_status, by_status .. ':model=' .. model}, get('owner')
  if owner then indexes[#indexes + 1] = by_status .. ':owner=' .. owner end
  return indexes
end

-- The reply that refuses one more queued job; nil when no limit does. 0 is no limit.
local function limit_reached(owner, max_queued, max_queued_per_owner, max_running_per_owner)
  local function is_reached(limit, ...)
    local number = 0
    for _, status in ipairs({...}) do
      number = number + redis.call('ZCARD', PREFIX .. 'jobs:status=' .. status)
    end
    return tonumber(limit) > 0 and number >= tonumber(limit)
  end
  if is_reached(max_queued, 'queued') then return {'limit', 'queue_full', max_queued} end
  if not owner or owner == '' then return nil end
  local whose = ':owner=' .. owner
  if is_reached(max_queued_per_owner, 'queued' .. whose) then
    return {'limit', 'too_many_queued', max_queued_per_owner}
  end
  if is_reached(max_running_per_owner, 'running' .. whose, 'canceling' .. whose) then
    return {'limit', 'too_many_running', max_running_per_owner}
  end
end

-- The record must be there.
local function lasting_indexes(model)
  local indexes = {PREFIX .. 'jobs', PREFIX .. 'jobs:model=' .. model}
  local root, parent, owner = unpack(
    redis.call('HMGET', RECORD, 'root_id', 'parent_id', 'owner'))
  if root then indexes[#indexes + 1] = PREFIX .. 'jobs:root=' .. root end
  if parent then indexes[#indexes + 1] = PREFIX .. 'jobs:parent=' .. parent end
  if owner then indexes[#indexes + 1] = PREFIX .. 'jobs:owner=' .. owner end
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
  if not can_become(from, status) then return false end
  remove_from(status_indexes(from, model))
  add_to(status_indexes(status, model), created_us)
  redis.call('HSET', RECORD, 'status', status)
  if TERMINAL[status] then
    redis.call('HSET', RECORD, 'completed_at', int(now_us()))
    redis.call('HDEL', RECORD, 'lease_expires_at', 'crashes')
    redis.call('ZREM', DUE, ID)
    redis.call('ZREM', DEADLINES, ID)
    give_audio_back()
    begin_lifetime()
  end
  emit_status()
  notify('job.' .. status)
  return true
end

-- The record must be there, and overdue. Whoever holds the job learns it from the next heartbeat.
local function end_overdue()
  if get('status') == 'canceling' then
    become('canceled')
  else
    redis.call('HSET', RECORD, 'error', DEADLINE_EXCEEDED)
    become('failed')
  end
  -- By then a worker that held it has heard, and has taken away what it was writing.
  look_at_files(30000000)
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

-- The level of the present stage is done.
local function end_level(next_stage, metrics, codes_name)
  local level = get('stage')
  redis.call('HSET', RECORD, 'metrics:' .. level, metrics,
             'codes_name', codes_name, 'stage', next_stage)
  redis.call('HDEL', RECORD, 'crashes')
  emit('stage', cjson.encode({stage = next_stage}))
  notify('job.output', level)
end

-- What an idempotency key stands for: nil, or the reply of the script. A job that was given out
-- through its key has a client for good, whatever became of the first answer.
local function replay(key, request_hash)
  local known = redis.call('GET', key)
  if not known then return nil end
  local its_hash, id = known:match('^(%x+) (.*)$')
  local record = PREFIX .. 'job:' .. id
  if redis.call('EXISTS', record) == 0 then return nil end
  if its_hash ~= request_hash then return {'reused'} end
  redis.call('HSET', record, 'replayed', '1')
  return {'replayed', (read(id))}
end

-- The key may have expired and stand for another job by now.
local function free_idempotency_key()
  local key = get('idempotency_key')
  local known = key and redis.call('GET', key)
  if known and known:match(' (.*)$') == ID then redis.call('DEL', key) end
end

-- The record must be there. Its files are somebody's duty from now on.
local function forget()
  local status, model = unpack(redis.call('HMGET', RECORD, 'status', 'model'))
  remove_from(lasting_indexes(model))
  remove_from(status_indexes(status, model))
  remove_from({DUE, DEADLINES, EXPIRIES, CODES_EXPIRIES})
  free_idempotency_key()
  redis.call('UNLINK', RECORD, EVENTS, WINDOWS)
  look_at_files(0)
end
"""
)

_ALL_BODIES = {**BODIES, **lua_webhooks.BODIES, **lua_lifetimes.BODIES}

SCRIPTS = {name: _PRELUDE + body for name, body in _ALL_BODIES.items()}
"""Name -> complete source."""
