-- ARGV: id. Takes a job out of the lists that the older release which deleted it did not know.
if redis.call('EXISTS', RECORD) == 1 then return {'kept'} end
for _, where in ipairs({'', TRASH}) do leave_terms(where) end
for _, scope in ipairs(scopes(TRASH)) do remove_from({PREFIX .. 'jobs' .. scope}) end
redis.call('UNLINK', TERMS)
return {'ok'}
