"""When a job must be done, how long it is kept, how much music a day: the server's share of it.

    deadlines                 zset    ids by the moment at which they must have ended
    expiries, codes_expiries  zset    ids by the moment at which they, or their codes, are forgotten
    untidy                    zset    ids whose files need a look, by the moment of the reason
    audio:{owner}:{day}       string  milliseconds of music that one API key asked for that day

All scripts here may be sent twice, or by several sweepers at once.
"""

from collections.abc import Mapping

from jobs.record.codec import to_json
from jobs.record.job import JobError

_DEADLINE_EXCEEDED = JobError(
    code="deadline_exceeded",
    message="The song was not done within the `timeout_seconds` of its request.",
    retryable=True,
)

# Used by the scripts that change a job (`jobs/lua.py`), where RECORD and ID are the job's.
LIFETIMES = (
    f"""
local DEADLINE_EXCEEDED = [[{to_json(_DEADLINE_EXCEEDED)}]]
"""
    + """
local DEADLINES, UNTIDY = PREFIX .. 'deadlines', PREFIX .. 'untidy'
local EXPIRIES, CODES_EXPIRIES = PREFIX .. 'expiries', PREFIX .. 'codes_expiries'

-- A moment of the record, and its place in an index, so many microseconds from now.
local function set_moment(field, index, after_us)
  local moment = int(now_us() + tonumber(after_us))
  redis.call('HSET', RECORD, field, moment)
  redis.call('ZADD', index, moment, ID)
end

local function begin_deadline()
  local timeout_us = get('timeout_us')
  if timeout_us then set_moment('deadline_at', DEADLINES, timeout_us) end
end

local function begin_lifetime()
  local pinned, kept_us, codes_kept_us, codes_expire_at = unpack(redis.call(
    'HMGET', RECORD, 'pinned', 'kept_us', 'codes_kept_us', 'codes_expire_at'))
  if pinned then return end
  if kept_us then set_moment('expires_at', EXPIRIES, kept_us) end
  -- Codes that are gone do not come back.
  if codes_kept_us and not codes_expire_at then
    set_moment('codes_expire_at', CODES_EXPIRIES, codes_kept_us)
  end
end

local function end_lifetime()
  redis.call('ZREM', EXPIRIES, ID)
  redis.call('HDEL', RECORD, 'expires_at')
  if redis.call('ZREM', CODES_EXPIRIES, ID) == 1 then
    redis.call('HDEL', RECORD, 'codes_expire_at')
  end
end

local function look_at_files(after_us) redis.call('ZADD', UNTIDY, int(now_us() + after_us), ID) end

-- The reply that refuses so much music today, or nil: then it counts as asked for.
local function take_audio(owner, audio_ms, max_ms)
  if owner == '' or tonumber(max_ms) == 0 then return nil end
  local now, day_us = now_us(), 86400000000
  local day = math.floor(now / day_us)
  local key = PREFIX .. 'audio:' .. owner .. ':' .. int(day)
  local taken_ms = tonumber(redis.call('GET', key) or 0)
  if taken_ms + tonumber(audio_ms) > tonumber(max_ms) then
    return {'limit', 'audio_quota_exceeded', int(max_ms / 1000), int((day + 1) * day_us - now)}
  end
  redis.call('INCRBY', key, audio_ms)
  redis.call('EXPIRE', key, 2 * 86400)
  redis.call('HSET', RECORD, 'audio_key', key, 'audio_ms', audio_ms)
end

-- What was never begun costs nothing.
local function give_audio_back()
  local key, audio_ms, started_at = unpack(
    redis.call('HMGET', RECORD, 'audio_key', 'audio_ms', 'started_at'))
  if not key or started_at then return end
  if redis.call('EXISTS', key) == 1 then redis.call('DECRBY', key, audio_ms) end
  redis.call('HDEL', RECORD, 'audio_key')
end

local function is_overdue()
  local status, deadline_us = unpack(redis.call('HMGET', RECORD, 'status', 'deadline_at'))
  return NEXT[status] and not TERMINAL[status] and deadline_us and tonumber(deadline_us) <= now_us()
end
"""
)

# The comment above each names its arguments (ARGV) in order.
BODIES: Mapping[str, str] = {
    # (none), index, limit. Ids and moments, the longest past first.
    "past": """
return redis.call('ZRANGEBYSCORE', PREFIX .. ARGV[2], '-inf', int(now_us()), 'WITHSCORES',
                  'LIMIT', 0, ARGV[3])
""",
    # id
    "end_overdue": """
if is_of_newer_release(DEADLINES) then return {'kept'} end
if not is_overdue() then
  redis.call('ZREM', DEADLINES, ID)
  return {'kept'}
end
end_overdue()
return {'ok'}
""",
    # id
    "expire": """
if is_of_newer_release(EXPIRIES) then return {'kept'} end
local status, expires_us = unpack(redis.call('HMGET', RECORD, 'status', 'expires_at'))
if not status or not TERMINAL[status] or not expires_us or tonumber(expires_us) > now_us() then
  redis.call('ZREM', EXPIRIES, ID)
  return {'kept'}
end
forget()
return {'ok'}
""",
    # id. The moment stays in the record, to tell why there are no codes any more.
    "expire_codes": """
if is_of_newer_release(CODES_EXPIRIES) then return {'kept'} end
local status, expire_us = unpack(redis.call('HMGET', RECORD, 'status', 'codes_expire_at'))
redis.call('ZREM', CODES_EXPIRIES, ID)
if not status or not TERMINAL[status] or not expire_us or tonumber(expire_us) > now_us() then
  return {'kept'}
end
read(ID)
redis.call('UNLINK', WINDOWS)
redis.call('HDEL', RECORD, 'codes_name')
look_at_files(0)
return {'ok'}
""",
    # id, '1' or ''
    "pin": """
local status, is_pinned = unpack(redis.call('HMGET', RECORD, 'status', 'pinned'))
if not status then return {'missing'} end
if ARGV[2] == '1' then
  redis.call('HSET', RECORD, 'pinned', '1')
  end_lifetime()
elseif is_pinned then
  redis.call('HDEL', RECORD, 'pinned')
  if TERMINAL[status] then begin_lifetime() end
end
return {'ok', (read(ID))}
""",
    # id, moment at which it was seen or ''. What became untidy since then is looked at again.
    "tidied": """
if ARGV[2] == '' or redis.call('ZSCORE', UNTIDY, ID) == ARGV[2] then
  redis.call('ZREM', UNTIDY, ID)
end
return {'ok'}
""",
    # id, moment at which it was seen. It goes behind the others.
    "tidy_later": """
if redis.call('ZSCORE', UNTIDY, ID) == ARGV[2] then look_at_files(0) end
return {'ok'}
""",
    # (none), idempotency key, request hash, kept_ms, what it stands for, what is gone or ''
    "remember": """
local known = redis.call('GET', ARGV[2])
if known then
  local its_hash, id = known:match('^(%x+) (.*)$')
  if its_hash ~= ARGV[3] then return {'reused'} end
  if id ~= ARGV[6] then return {'replayed', id} end
end
if ARGV[5] ~= '' then
  redis.call('SET', ARGV[2], ARGV[3] .. ' ' .. ARGV[5], 'PX', ARGV[4])
end
return {'ok'}
""",
}
