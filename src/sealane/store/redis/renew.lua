-- ARGV: …, epoch, ceiling, then names and texts of documents
local epoch, ceiling = ARGV[6], ARGV[7]
local record = settled()
if record.host ~= host or digits(record.epoch) ~= epoch then
  store(record)
  return lost(record)
end
hold(record, ceiling)
store(record)
keep_documents(8)
return granted(record)
