-- ARGV: id, resend_us, idempotency key or '', request hash, kept_ms, owner or '', three limits,
-- audio_ms, its limit a day, number of terms * 2, part, terms ..., field, value ...
-- An empty created_at is now, by the clock of this server.
if redis.call('EXISTS', RECORD) == 1 then return {'refused', get('status')} end
local key, request_hash, kept_ms = ARGV[3], ARGV[4], ARGV[5]
if key ~= '' then
  local reply = replay(key, request_hash)
  if reply then return reply end
end
local refusal = limit_reached(unpack(ARGV, 6, 9)) or take_audio(ARGV[6], ARGV[10], ARGV[11])
if refusal then return refusal end
if key ~= '' then
  redis.call('SET', key, request_hash .. ' ' .. ID, 'PX', kept_ms)
  redis.call('HSET', RECORD, 'idempotency_key', key)
end
local last_term = 12 + tonumber(ARGV[12])
redis.call('HSET', TERMS, unpack(ARGV, 13, last_term))
redis.call('HSET', RECORD, unpack(ARGV, last_term + 1))
if get('created_at') == '' then redis.call('HSET', RECORD, 'created_at', int(now_us())) end
read(ID)
begin_deadline()
enter_lists()
look_again_at(now_us() + tonumber(ARGV[2]))
announce('created', '{}')
emit_status()
return {'ok', get('created_at')}
