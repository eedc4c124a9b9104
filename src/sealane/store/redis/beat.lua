-- No key of these ends by itself, so that a server that evicts such keys never takes a process for dead.
-- KEYS: owners (zset: token by until_ms). ARGV: token, span_ms
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + tonumber(ARGV[2])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms))
return 'lives'
