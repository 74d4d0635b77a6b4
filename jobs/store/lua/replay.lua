-- ARGV: (none), idempotency key, request hash
return replay(ARGV[2], ARGV[3]) or {'none'}
