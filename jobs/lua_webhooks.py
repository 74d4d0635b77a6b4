"""The webhooks' share of what runs inside the server: writing messages, handing them out.

    webhooks                zset    ids of messages by the moment at which they should be sent
    webhook:{id}            hash    one message, forgotten after a week whatever happens
    webhook_deliveries      hash    outcome -> how many, for `/metrics`

Whoever claims a message has it for as long as the claim says; then it is due again. The number of
the attempt tells a claim that is over from the present one.
"""

from collections.abc import Mapping

KEPT_SEC = 7 * 24 * 3600

# Used by the scripts that change a job (`jobs/lua.py`), where RECORD and ID are the job's.
NOTIFY = f"""
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
  redis.call('EXPIRE', message, {KEPT_SEC})
  redis.call('ZADD', WEBHOOKS, now, id)
end
"""

BODIES: Mapping[str, str] = {
    # (none), limit, lease_us, most at once of one owner, owner, how many of its now ...
    "claim_webhooks": """
local limit, at_most, now = tonumber(ARGV[2]), tonumber(ARGV[4]), now_us()
local held, found, seen = {}, {}, 0
for at = 5, #ARGV, 2 do held[ARGV[at]] = tonumber(ARGV[at + 1]) end
-- One call looks at a thousand. What may not be sent now goes behind what is due, in its order, or
-- the messages of one slow receiver would hide those of all others for ever.
while #found < limit and seen < 1000 do
  local ids = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', int(now), 'LIMIT', 0, 100)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local message = PREFIX .. 'webhook:' .. id
    local owner = redis.call('HGET', message, 'owner')
    if not owner then
      redis.call('ZREM', WEBHOOKS, id)
    elseif #found < limit then
      seen = seen + 1
      local number = held[owner] or 0
      if owner == '' or number < at_most then
        held[owner] = number + 1
        redis.call('HINCRBY', message, 'attempt', 1)
        redis.call('ZADD', WEBHOOKS, int(now + tonumber(ARGV[3])), id)
        found[#found + 1] = {id, int(now), redis.call('HGETALL', message)}
      else
        redis.call('ZADD', WEBHOOKS, int(now + seen), id)
      end
    end
  end
end
return found
""",
    # message, attempt, outcome, microseconds until the next attempt or '' when there is none
    "settle_webhook": """
local message = PREFIX .. 'webhook:' .. ID
if redis.call('HGET', message, 'attempt') ~= ARGV[2] then return {'lost'} end
redis.call('HINCRBY', PREFIX .. 'webhook_deliveries', ARGV[3], 1)
if ARGV[4] ~= '' then
  redis.call('ZADD', WEBHOOKS, int(now_us() + tonumber(ARGV[4])), ID)
  return {'ok'}
end
if ARGV[3] == 'gone' then
  local job_id = redis.call('HGET', message, 'job_id')
  redis.call('HDEL', PREFIX .. 'job:' .. job_id, 'webhook_url', 'webhook_events')
end
redis.call('ZREM', WEBHOOKS, ID)
redis.call('DEL', message)
return {'ok'}
""",
    # message, attempt. It was not tried after all.
    "release_webhook": """
local message = PREFIX .. 'webhook:' .. ID
if redis.call('HGET', message, 'attempt') ~= ARGV[2] then return {'lost'} end
redis.call('HINCRBY', message, 'attempt', -1)
redis.call('ZADD', WEBHOOKS, int(now_us()), ID)
return {'ok'}
""",
}
