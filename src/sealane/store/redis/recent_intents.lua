-- KEYS: documents, unsettled, settled. ARGV: how many at most. Ids and texts in turn, newest first: the two orders merged
local limit = tonumber(ARGV[1])
local one = redis.call('ZREVRANGE', KEYS[2], 0, limit - 1, 'WITHSCORES')
local other = redis.call('ZREVRANGE', KEYS[3], 0, limit - 1, 'WITHSCORES')
local found, at, at_other = {}, 1, 1
while #found < 2 * limit and (one[at] or other[at_other]) do
  local id
  if not other[at_other] or (one[at] and tonumber(one[at + 1]) > tonumber(other[at_other + 1])) then
    id, at = one[at], at + 2
  else
    id, at_other = other[at_other], at_other + 2
  end
  found[#found + 1] = id
  found[#found + 1] = redis.call('HGET', KEYS[1], id)
end
return found
