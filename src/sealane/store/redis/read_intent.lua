-- KEYS: documents, others. ARGV: an id or another name
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
  return text
end
local id = redis.call('HGET', KEYS[2], ARGV[1])
return id and redis.call('HGET', KEYS[1], id)
