"""What the server does as one step, in Lua, and the keys: all have one hash tag, so that a cluster keeps them together.

Nonces are text: a number of Lua has 53 bits. Here they are compared by their length and then by their digits, and added
in two parts, seconds and nanoseconds, which are exact.
"""

from __future__ import annotations

from krakenonce.backends.redis.session import script

PREFIX = "{krakenonce}:"
VERSION_KEY = f"{PREFIX}version"
NONCES = f"{PREFIX}nonces"
RECORDS = f"{PREFIX}records"
COUNTERS = f"{PREFIX}counters:"
TURN = f"{PREFIX}turn:"
QUEUE = f"{PREFIX}queue:"
BELL = f"{PREFIX}bell:"
ALIVE = f"{PREFIX}alive:"

CLAIM = 300  # ms in which a caller who was given the turn has to say that it lives
SEEN = 3000  # ms for which a waiting caller counts as alive

# The record of a counter: last; mark; since, the second in which replicas had it; proposed, the mark that they may not
# have yet; run, the life of the server that has written it. Another life may be another server, which lacks the last
# nonces, or the same from its disk: then all goes on above the mark. It is asked for here, because a client may have
# another server than it believes. The field "moved" of the hash says where the state was moved to.
_NONCES = """
local most = '9223372036854775807'
local function less(a, b) return #a < #b or (#a == #b and a < b) end
local function larger(a, b) if not a or (b and less(a, b)) then return b end return a end
local function plus(a, seconds, ns)
  local high, low = tonumber(string.sub(a, 1, -10)) or 0, tonumber(string.sub(a, -9)) + ns
  local sum = string.format('%d%09d', high + seconds + math.floor(low / 1e9), low % 1e9)
  return (string.gsub(sum, '^0+(%d)', '%1'))
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local function read(nonces, scope)
  local found = redis.call('HMGET', nonces, 'last:' .. scope, 'mark:' .. scope, 'proposed:' .. scope, 'run:' .. scope,
    'moved', 'since:' .. scope)
  local kept = {last = found[1], mark = found[2], proposed = found[3], moved = found[5], since = found[6] or 0}
  function kept.set(name, value)
    kept[name] = value
    redis.call('HSET', nonces, name .. ':' .. scope, value)
  end
  function kept.begin()
    if found[4] ~= run then
      kept.set('run', run)
      local last = larger(kept.last, larger(kept.mark, kept.proposed))
      if last then kept.set('last', last) end
    end
  end
  return kept
end
"""

# What is wished: scope, now, seconds that it may be ahead of the server, how many replicas have to confirm a mark, the
# run and the mark that they have confirmed.
_NEXT = """
local function wished(at)
  return {ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]}
end
local function next_nonce(nonces, wish)
  local kept = read(nonces, wish[1])
  if kept.moved then return {'moved', kept.moved} end
  kept.begin()
  local time = redis.call('TIME')
  if wish[5] == run and kept.proposed and not less(kept.proposed, wish[6]) then
    kept.set('mark', larger(kept.mark, wish[6]))
    kept.set('since', time[1])
  end
  local nonce, limit = wish[2], string.format('%d%06d000', time[1] + wish[3], time[2])
  if less(limit, nonce) then nonce = limit end
  if kept.last then nonce = larger(nonce, plus(kept.last, 0, 1)) end
  if less(most, nonce) then return {'end'} end
  -- Nonces ahead of the clock would take long to reach the mark: a server that its replicas have left must not go on.
  local is_old = tonumber(wish[4]) > 0 and math.abs(time[1] - kept.since) >= 10
  if not kept.mark or less(kept.mark, nonce) or is_old then
    local wanted = larger(plus(nonce, 10, 0), kept.proposed)
    if less(most, wanted) then wanted = most end
    kept.set('proposed', wanted)
    if tonumber(wish[4]) > 0 then return {'confirm', run, wanted} end
    kept.set('mark', wanted)
  end
  kept.set('last', nonce)
  return {'nonce', nonce}
end
"""

# Values: as above; then token and lease of each turn, whose keys come after that of the nonces.
STEP = script(
    _NONCES
    + _NEXT
    + """
for at = 2, #KEYS do
  if redis.call('HGET', KEYS[at], 'token') ~= ARGV[3 + 2 * at] then return {'lost'} end
end
for at = 2, #KEYS do redis.call('PEXPIRE', KEYS[at], ARGV[4 + 2 * at]) end
return next_nonce(KEYS[1], wished(1))
"""
)

# Values: scope and floor.
FLOOR = script(
    _NONCES
    + """
local kept = read(KEYS[1], ARGV[1])
if kept.moved then return {'moved', kept.moved} end
kept.begin()
kept.set('last', larger(kept.last, ARGV[2]))
return {'raised'}
"""
)

# Values: where to.
RETIRE = script(
    _NONCES
    + """
redis.call('HSET', KEYS[1], 'moved', ARGV[1])
local lasts = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local scope = string.match(field, '^last:(.*)')
  if scope then
    local kept = read(KEYS[1], scope)
    kept.begin()
    lasts[#lasts + 1] = scope
    lasts[#lasts + 1] = kept.last
  end
end
return lasts
"""
)

# Values: scope and floor of each counter.
RESTORE = script(
    _NONCES
    + """
redis.call('HDEL', KEYS[1], 'moved')
for at = 1, #ARGV, 2 do
  local kept = read(KEYS[1], ARGV[at])
  kept.begin()
  kept.set('last', larger(kept.last, ARGV[at + 1]))
end
return 1
"""
)

# The rate counters of a key. What is wished: the numbers of pages, with commas between.
_LOOK = """
local function look(counters, wished)
  local fields, time = {'version', 'size'}, redis.call('TIME')
  for number in string.gmatch(wished, '%d+') do fields[#fields + 1] = number end
  local found = redis.call('HMGET', counters, unpack(fields))
  table.insert(found, 3, time[1])
  table.insert(found, 4, time[2])
  return found
end
"""

# A turn is a hash with a lease: token, who, since, lease, beat. What it needs of the waiting is that they come again.
# They leave there who they are, and what nonce and pages they wish: who is given the turn hears both with the bell, the
# nonce, what was found and how long each page is in words, and then the pages.
_TURN = (
    _NONCES
    + _NEXT
    + _LOOK
    + f"""
local turn, queue, bell, alive, counters = KEYS[1], KEYS[2], '{BELL}', '{ALIVE}', KEYS[4]
local function now()
  local time = redis.call('TIME')
  return string.format('%d%03d', time[1], math.floor(time[2] / 1000))
end
local function give(token, who, lease)
  redis.call('HSET', turn, 'token', token, 'who', who, 'since', now(), 'lease', lease, 'beat', 0)
  redis.call('PEXPIRE', turn, lease)
  return token
end
local function said_with(nonce, seen)
  local words, pages = {{nonce}}, {{}}
  for at = 1, 4 do words[at + 1] = seen[at] or '' end
  for at = 5, #seen do
    pages[at - 4] = seen[at] or ''
    words[at + 1] = #pages[at - 4]
  end
  return table.concat(words, ' ') .. '|' .. table.concat(pages)
end
local function next_one()
  while true do
    local token = redis.call('LPOP', queue)
    if not token then return false end
    local said = redis.call('GET', alive .. token)
    if said then
      local about = {{}}
      for each in string.gmatch(said, '[^|]+') do about[#about + 1] = each end
      local found = #about > 1 and next_nonce(KEYS[3], {{unpack(about, 3)}}) or {{}}
      redis.call('RPUSH', bell .. token, found[1] == 'nonce' and said_with(found[2], look(counters, about[2])) or '')
      redis.call('PEXPIRE', bell .. token, {SEEN})
      return give(token, about[1], {CLAIM})
    end
  end
end
"""
)

# Values: token, who, lease, whether to wait (1 or 0), and the token and the beat of a holder that was silent too long;
# then, if a nonce is wanted with the turn, which pages of the rate counters, and the values for the nonce.
TAKE = script(
    _TURN
    + f"""
local me, who, lease = ARGV[1], ARGV[2], ARGV[3]
local function taken()
  give(me, who, lease)
  if not ARGV[7] then return {{{{1}}}} end
  return {{{{1}}, next_nonce(KEYS[3], wished(8)), look(counters, ARGV[7])}}
end
local seen = redis.call('HMGET', turn, 'token', 'beat')
local holder = seen[1]
if holder and holder == ARGV[5] and seen[2] == ARGV[6] then
  redis.call('DEL', turn)
  holder = false
end
if not holder and redis.call('LLEN', queue) == 0 then return taken() end
if holder ~= me then
  if ARGV[4] == '1' then
    redis.call('SET', alive .. me, table.concat({{who, unpack(ARGV, 7)}}, '|'), 'PX', {SEEN})
    if not redis.call('LPOS', queue, me) then redis.call('RPUSH', queue, me) end
  end
  holder = holder or next_one() or give(me, who, lease)
end
if holder == me then
  redis.call('DEL', alive .. me, bell .. me)
  return taken()
end
local lasts = redis.call('HMGET', turn, 'beat', 'lease')
return {{{{0, holder, lasts[1], lasts[2], redis.call('PTTL', turn)}}}}
"""
)

# Who was given the turn, and has heard it in time, has it for its whole lease from now on. Values: token, lease.
CONFIRM = script(
    _TURN
    + """
if redis.call('HGET', turn, 'token') ~= ARGV[1] then return 0 end
give(ARGV[1], redis.call('HGET', turn, 'who'), ARGV[2])
redis.call('DEL', alive .. ARGV[1], bell .. ARGV[1])
return 1
"""
)

GIVE_BACK = script(
    _TURN
    + """
if redis.call('HGET', turn, 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', turn)
next_one()
return 1
"""
)

BEAT = script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'beat', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")

# Bytes that one caller at a time reads and writes. Values: token, lease, how much to read, a token that is too old.
LOCK = script("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[4] then return {0, holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, redis.call('STRLEN', KEYS[2]), redis.call('GETRANGE', KEYS[2], 0, ARGV[3] - 1)}
""")

# Values: token, whether a step was taken (1 or 0), then offset and bytes of each change.
UNLOCK = script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], '') end
for at = 3, #ARGV, 2 do redis.call('SETRANGE', KEYS[2], ARGV[at], ARGV[at + 1]) end
redis.call('DEL', KEYS[1])
return 1
""")

# Values: as for look.
LOOK = script(_LOOK + "return look(KEYS[1], ARGV[1])")

# Changes the rate counters of a key, if nobody else has done so. Values: the version that was seen, the new one, which
# pages to return if it is another one, then field and value of each change.
CHANGE = script(
    _LOOK
    + """
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return look(KEYS[1], ARGV[3]) end
redis.call('HSET', KEYS[1], 'version', ARGV[2], unpack(ARGV, 4))
return {}
"""
)

# Values: name, data, and the data before, unless there was none.
REPLACE = script("""
local found = redis.call('HGET', KEYS[1], ARGV[1])
if (found or nil) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
""")

ALL = (STEP, FLOOR, RETIRE, RESTORE, TAKE, CONFIRM, GIVE_BACK, BEAT, LOCK, UNLOCK, LOOK, CHANGE, REPLACE)
