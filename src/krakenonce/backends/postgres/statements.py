"""The statements of nonces and turns. Each nonce is one statement, so that nothing lies between reading and writing.

Another timeline of the server's log says that a standby was promoted, which may not have the last nonces: then a minute
is skipped. In a state that was moved away there is no row to insert, and so no nonce.
"""

from __future__ import annotations

_SERVER = """server as (select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline
    from krakenonce.about where moved_to is null)"""
_STEP = """
insert into krakenonce.nonces as kept (scope, last, timeline) select $1, {value}, timeline from server{turn}
on conflict (scope) do update set timeline = excluded.timeline, last = greatest(
    kept.last + case when kept.timeline = excluded.timeline then {step} else 60000000000 end, excluded.last)
returning last
"""
_VALUE = "least($2::bigint, (extract(epoch from clock_timestamp()) * 1000000000)::bigint + $3::bigint)"
_SAY = "set_config('application_name', {name} || floor(extract(epoch from clock_timestamp()) * 1000)::text, false)"

# Values: counter, the host's time, nanoseconds that it may be ahead of the server's.
NEXT = f"with {_SERVER} {_STEP.format(value=_VALUE, step=1, turn='')}"
# Values: counter, floor.
RAISE = f"with {_SERVER} {_STEP.format(value='$2::bigint', step=0, turn='')}"
# Values: the number of the lock, what the server's list of sessions shows.
ACQUIRE = f"select pg_advisory_lock($1::bigint), {_SAY.format(name='$2')}"
TRY = f"select case when pg_try_advisory_lock($1::bigint) then {_SAY.format(name='$2')} end"
RELEASE = "select pg_advisory_unlock($1::bigint)"
# Values: as for NEXT, then as for TRY. No nonce is taken without the turn. A statement that had to wait for the turn
# would see the counter as it was before.
_TRY_AND_NEXT = """
with {server},
turn as materialized (select case when pg_try_advisory_lock($4::bigint) then {say} end as said),
taken as ({step})
select last, said from turn left join taken on true
"""
TRY_AND_NEXT = _TRY_AND_NEXT.format(
    server=_SERVER,
    say=_SAY.format(name="$5"),
    step=_STEP.format(value=_VALUE, step=1, turn=", turn where said is not null"),
)
HOLDER = """
select application_name, floor(extract(epoch from clock_timestamp()) * 1000)::bigint
from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and objsubid = 1 and (classid::bigint << 32) | objid::bigint = $1::bigint
    and database = (select oid from pg_database where datname = current_database())
"""
