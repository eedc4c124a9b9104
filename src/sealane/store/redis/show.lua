-- The record as it stands. KEYS: lease, waiters
return { redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1) }
