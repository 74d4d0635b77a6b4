-- ARGV: id
if is_of_newer_release(DEADLINES) then return {'kept'} end
if not is_overdue() then
  redis.call('ZREM', DEADLINES, ID)
  return {'kept'}
end
end_overdue()
return {'ok', ending()}
