-- When a job must be done, how long it is kept, how much music a day.

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
