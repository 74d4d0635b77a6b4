-- ARGV: id
if not get('status') then return {'missing'} end
if get('replayed') then return {'kept'} end
free_idempotency_key()
return {'ok'}
