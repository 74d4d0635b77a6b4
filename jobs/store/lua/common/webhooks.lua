-- Writing a message in the step that changes the job. RECORD and ID are the job's.

local WEBHOOKS = PREFIX .. 'webhooks'

local function notify(event, level)
  local url, events, owner, error = unpack(
    redis.call('HMGET', RECORD, 'webhook_url', 'webhook_events', 'owner', 'error'))
  if not url or not (' ' .. events .. ' '):find(' ' .. event .. ' ', 1, true) then return end
  local id = 'msg_' .. ID:sub(5) .. '_' .. redis.call('HINCRBY', RECORD, 'webhooks_written', 1)
  local message, now = PREFIX .. 'webhook:' .. id, int(now_us())
  redis.call('HSET', message, 'type', event, 'job_id', ID, 'url', url, 'owner', owner or '',
             'created_at', now, 'status', get('status'), 'stage', get('stage'),
             'level', level or '', 'error', event == 'job.failed' and error or '', 'attempt', 0)
  redis.call('EXPIRE', message, WEBHOOK_KEPT_SEC)
  redis.call('ZADD', WEBHOOKS, now, id)
end
