-- What all scripts share: the keys of a job, the server's time, reading a record.

local ID = ARGV[1]
local RECORD = PREFIX .. 'job:' .. (ID or '')
local EVENTS, WINDOWS = RECORD .. ':events', RECORD .. ':windows'
local DUE, FEED = PREFIX .. 'due', PREFIX .. 'events'

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

-- To those who follow all jobs of an owner. The record must be there.
local function announce(kind, data)
  redis.call('XADD', FEED, 'MAXLEN', '~', MAX_FEED_EVENTS, '*', 'job_id', ID,
             'owner', get('owner') or '', 'kind', kind, 'data', data)
end

-- To those who follow this job, and to those who follow all.
local function emit(kind, data)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', MAX_EVENTS, '*', 'kind', kind, 'data', data)
  announce(kind, data)
end

local function emit_status()
  emit('status', cjson.encode({status = get('status'), stage = get('stage')}))
end

-- `looks` counts how often the job was found due since then.
local function look_again_at(moment_us)
  redis.call('ZADD', DUE, int(moment_us), ID)
  redis.call('HDEL', RECORD, 'looks')
end
