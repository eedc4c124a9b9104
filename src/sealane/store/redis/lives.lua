-- KEYS: owners. ARGV: token
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
return until_ms and tonumber(until_ms) > now_ms and 1 or 0
