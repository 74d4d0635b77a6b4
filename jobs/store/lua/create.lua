-- ARGV: id, created_us, model, resend_us, idempotency key or '', request hash, kept_ms,
-- owner or '', three limits, audio_ms, its limit a day, field, value, field, value ...
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
announce('created', '{}')
emit_status()
return {'ok'}
