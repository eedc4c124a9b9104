local record = settled()
local next_host = ''
record.waiters = without(record.waiters, host)
if record.host == host and not record.claimed then
  record.host = ''
  keep_for_next(record)
  next_host = record.host
end
store(record)
wake(next_host)
return { digits(now_ms), 'next', next_host }
