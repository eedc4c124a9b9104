-- The record of a lane and the decisions of sealane.core.lease on it. The file of a step follows in the same script.
--
-- 1. Times and epochs are doubles: milliseconds and microseconds stay below 2^53 until the year 2255, so they are exact.
-- 2. Nonces are decimal strings without leading zeros, compared by length and then by digit; never numbers.
-- 3. The server's identity and clock are read in the step itself, so that the step that decides is of that server's life.
-- 4. Whatever a script writes first may be refused (memory full, read-only, too few replicas), and then nothing is done.
--
-- KEYS: lease (hash), waiters (list of "<until_ms> <host>", in their order), documents (hash), wake (start of names)
-- ARGV: lease_ms, patience_ms, claim_ms, wake_ms, host, and what the step adds

local LEASE, WAITERS, DOCUMENTS, WAKE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lease_ms, patience_ms, claim_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wake_ms, host = ARGV[4], ARGV[5]

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function digits(number)
  return string.format('%.0f', number)
end

local function greater(one, other)
  if #one ~= #other then
    return #one > #other and one or other
  end
  return one > other and one or other
end

local function incarnation()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  if not (run and history) then
    error('SEALANE-NAMELESS')
  end
  return run .. '/' .. history
end

local function load()
  local flat = redis.call('HGETALL', LEASE)
  if #flat == 0 then
    return nil
  end
  local kept = {}
  for at = 1, #flat, 2 do
    kept[flat[at]] = flat[at + 1]
  end
  local record = {
    incarnation = kept.incarnation,
    quiet_until_ms = tonumber(kept.quiet_until_ms),
    epoch = tonumber(kept.epoch),
    host = kept.host,
    claimed = kept.claimed == '1',
    since_ms = tonumber(kept.since_ms),
    expires_ms = tonumber(kept.expires_ms),
    floor = kept.floor,
    ceiling = kept.ceiling,
    clean = kept.clean == '1',
    waiters = {},
  }
  for at, entry in ipairs(redis.call('LRANGE', WAITERS, 0, -1)) do
    local until_ms, name = string.match(entry, '^(%d+) (.*)$')
    record.waiters[at] = { host = name, until_ms = tonumber(until_ms) }
  end
  return record
end

local function store(record)
  redis.call('HSET', LEASE,
    'incarnation', record.incarnation, 'quiet_until_ms', digits(record.quiet_until_ms),
    'epoch', digits(record.epoch), 'host', record.host, 'claimed', record.claimed and '1' or '0',
    'since_ms', digits(record.since_ms), 'expires_ms', digits(record.expires_ms),
    'floor', record.floor, 'ceiling', record.ceiling, 'clean', record.clean and '1' or '0')
  redis.call('DEL', WAITERS)
  for _, waiter in ipairs(record.waiters) do
    redis.call('RPUSH', WAITERS, digits(waiter.until_ms) .. ' ' .. waiter.host)
  end
end

local function settled()
  local record, here = load(), incarnation()
  local lease_from_now_ms = now_ms + lease_ms
  if not record then
    return {
      incarnation = here, quiet_until_ms = lease_from_now_ms, epoch = 0, host = '', claimed = false, since_ms = 0,
      expires_ms = 0, floor = '0', ceiling = '0', clean = false, waiters = {},
    }
  end
  if record.incarnation ~= here then
    record.incarnation, record.quiet_until_ms, record.clean = here, lease_from_now_ms, false
  end
  record.quiet_until_ms = math.min(record.quiet_until_ms, lease_from_now_ms)
  record.since_ms = math.min(record.since_ms, now_ms)
  record.expires_ms = math.min(record.expires_ms, lease_from_now_ms)
  if record.host ~= '' and now_ms >= record.expires_ms then
    record.host, record.clean, record.claimed = '', record.clean and not record.claimed, false
  end
  local waiters = {}
  for _, waiter in ipairs(record.waiters) do
    if waiter.until_ms > now_ms then
      waiters[#waiters + 1] = { host = waiter.host, until_ms = math.min(waiter.until_ms, now_ms + patience_ms) }
    end
  end
  record.waiters = waiters
  return record
end

local function without(waiters, name)
  local left = {}
  for _, waiter in ipairs(waiters) do
    if waiter.host ~= name then
      left[#left + 1] = waiter
    end
  end
  return left
end

local function first(record)
  return record.waiters[1] and record.waiters[1].host or ''
end

local function grant(record, name, span_ms)
  record.epoch = math.max(record.epoch + 1, now_ms * 1000)
  record.host, record.claimed = name, false
  record.since_ms, record.expires_ms = now_ms, now_ms + span_ms
  if not record.clean then
    record.floor = greater(record.floor, record.ceiling)
  end
  record.ceiling = '0'
  record.waiters = without(record.waiters, name)
end

local function keep_for_next(record)
  local name = first(record)
  if name ~= '' and now_ms >= record.quiet_until_ms then
    grant(record, name, claim_ms)
  end
end

local function hold(record, ceiling)
  record.claimed, record.expires_ms = true, now_ms + lease_ms
  record.ceiling = greater(greater(record.ceiling, record.floor), ceiling)
end

local function keep_documents(from)
  for at = from, #ARGV, 2 do
    redis.call('HSET', DOCUMENTS, ARGV[at], ARGV[at + 1])
  end
end

-- One token at most, for a while: one that is not fetched does no harm.
local function wake(name)
  if name ~= '' then
    redis.call('DEL', WAKE .. name)
    redis.call('LPUSH', WAKE .. name, '1')
    redis.call('PEXPIRE', WAKE .. name, wake_ms)
  end
end

local function granted(record)
  return {
    digits(now_ms), 'grant', digits(record.epoch), record.floor, record.ceiling, record.clean and '1' or '0',
    #record.waiters > 0 and '1' or '0',
  }
end

local function lost(record)
  return { digits(now_ms), 'lost', record.host, digits(record.epoch) }
end

