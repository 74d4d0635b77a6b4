-- Changes of a job: its status, its lease, and that it is forgotten.

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

-- For a reply: the status with which the job ended, and the code of its failure or ''.
local function ending()
  local status, error = unpack(redis.call('HMGET', RECORD, 'status', 'error'))
  return status, status == 'failed' and cjson.decode(error).code or ''
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
  leave_lists()
  remove_from({DUE, DEADLINES, EXPIRIES, CODES_EXPIRIES})
  free_idempotency_key()
  if place() == '' then announce('deleted', '{}') end
  redis.call('UNLINK', RECORD, EVENTS, WINDOWS, TERMS)
  look_at_files(0)
end
