-- ARGV: …, epoch, last, then names and texts of documents
local epoch, last = ARGV[6], ARGV[7]
local record = settled()
if record.host ~= host or digits(record.epoch) ~= epoch then
  store(record)
  return lost(record)
end
record.host, record.claimed = '', false
record.floor, record.clean = greater(record.floor, last), record.since_ms >= record.quiet_until_ms
keep_for_next(record)
store(record)
keep_documents(8)
wake(record.host)
return { digits(now_ms), 'next', record.host }
