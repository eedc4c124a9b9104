-- ARGV: …, ceiling, lane, the start of the channels' names
local ceiling, lane, channels = ARGV[6], ARGV[7], ARGV[8]
local record = settled()
local quiet = now_ms < record.quiet_until_ms
local mine = record.host == host and not quiet

if not mine and record.host == '' and not quiet and (first(record) == '' or first(record) == host) then
  grant(record, host, lease_ms)
  mine = true
end

if mine then
  hold(record, ceiling)
  store(record)
  local answer = granted(record)
  for _, part in ipairs(redis.call('HGETALL', DOCUMENTS)) do
    answer[#answer + 1] = part
  end
  return answer
end

local place = #record.waiters + 1
for at, waiter in ipairs(record.waiters) do
  if waiter.host == host then
    place = at
  end
end
local newcomer = place > #record.waiters
record.waiters[place] = { host = host, until_ms = now_ms + patience_ms }
store(record)
if newcomer and record.host ~= '' and record.host ~= host then
  redis.pcall('PUBLISH', channels .. record.host, lane) -- a hint: who may not publish is served more slowly
end

local due_ms = math.max(record.host ~= '' and record.expires_ms or 0, record.quiet_until_ms)
local again_ms = math.min(math.max(1, due_ms - now_ms), math.floor(patience_ms / 2))
return { digits(now_ms), 'wait', record.host, digits(record.epoch), digits(place - 1), digits(again_ms) }
