-- Keep the latest document of an id, and of what is settled the newest.
-- KEYS: documents (hash), unsettled and settled (zsets: id by place), others (hash: other name, id), others_of (hash: id,
--       its other names as JSON), count (the last place given: a double, exact below 2^53)
-- ARGV: id, text, "1" for settled, how many settled ones are kept, then its other names
local DOCUMENTS, UNSETTLED, SETTLED, OTHERS, OTHERS_OF, COUNT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, text, is_settled, kept_max = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])

local function forget_others(of)
  local names = redis.call('HGET', OTHERS_OF, of)
  if names then
    for _, name in ipairs(cjson.decode(names)) do
      if redis.call('HGET', OTHERS, name) == of then
        redis.call('HDEL', OTHERS, name)
      end
    end
    redis.call('HDEL', OTHERS_OF, of)
  end
end

local unsettled_place = redis.call('ZSCORE', UNSETTLED, id)
redis.call('HSET', DOCUMENTS, id, text)
if is_settled or not unsettled_place then
  local place = redis.call('INCR', COUNT)
  redis.call('ZREM', UNSETTLED, id)
  redis.call('ZREM', SETTLED, id)
  redis.call('ZADD', is_settled and SETTLED or UNSETTLED, place, id)
end

forget_others(id)
if #ARGV > 4 then
  local names = {}
  for at = 5, #ARGV do
    names[#names + 1] = ARGV[at]
    redis.call('HSET', OTHERS, ARGV[at], id)
  end
  redis.call('HSET', OTHERS_OF, id, cjson.encode(names))
end

local spare = redis.call('ZCARD', SETTLED) - kept_max
if spare > 0 then
  local gone = redis.call('ZPOPMIN', SETTLED, spare)
  for at = 1, #gone, 2 do
    forget_others(gone[at])
    redis.call('HDEL', DOCUMENTS, gone[at])
  end
end
return 'kept'
