-- What is known of a lane, as it stands. KEYS: lease, waiters, documents
return {
  redis.call('TIME'), redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1),
  redis.call('HGETALL', KEYS[3]),
}
