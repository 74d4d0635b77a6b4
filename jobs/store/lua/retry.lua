-- ARGV: id, resend_us, idempotency key or '', request hash, kept_ms, three limits, limit of audio_ms a
-- day. What was drawn stays; so does `started_at`, since drawing had begun then.
local status, error = unpack(redis.call('HMGET', RECORD, 'status', 'error'))
if not status or place() == TRASH then return {'missing'} end
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
