"""Bugs in the state that many hosts share: its nonces, turns and limits, what it refuses, and what it shows.

The tests need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["HOSTS"]

_BACKEND = "src/krakenonce/backends/postgres/"
_NONCES = "tests/hosts/test_nonces.py::"
_REFUSALS = "tests/hosts/test_refusals.py::"
_POSTGRES = "tests/hosts/test_postgres.py::"
_FAILOVER = "tests/hosts/test_postgres_failover.py::"
_TURNS = "tests/hosts/test_turns.py::"

HOSTS = (
    Planted(
        "a server that does not sync is used",
        1,
        f"{_BACKEND}schema.py",
        was='    if fsync != b"on":\n',
        becomes='    if fsync == b"":\n',
        test=f"{_REFUSALS}test_a_server_that_does_not_sync_is_refused_and_one_that_may_tear_pages_is_warned_about",
    ),
    Planted(
        "nonces do not wait for the server's disk",
        1,
        f"{_BACKEND}schema.py",
        was="then 'remote_apply' else 'on' end",
        becomes="then 'remote_apply' else current_setting('synchronous_commit') end",
        test=f"{_POSTGRES}test_nonces_wait_for_the_disk_though_the_server_does_not_by_default",
    ),
    Planted(
        "a nonce that no standby has confirmed is used",
        1,
        f"{_BACKEND}session.py",
        was="        if self._warned:  #",
        becomes="        if not found:  #",
        test=f"{_POSTGRES}test_a_nonce_that_a_standby_did_not_confirm_is_not_used",
    ),
    Planted(
        "a promoted standby is not noticed",
        4,
        f"{_BACKEND}statements.py",
        was="case when kept.timeline = excluded.timeline then",
        becomes="case when kept.last > 0 then",
        test=f"{_POSTGRES}test_a_promoted_standby_skips_what_it_may_not_have",
    ),
    Planted(
        "of several servers, a standby is taken for the primary",
        1,
        f"{_BACKEND}server.py",
        was='"target_session_attrs": b"read-write"',
        becomes='"target_session_attrs": b"any"',
        test=f"{_FAILOVER}test_a_synchronous_standby_has_floors_and_records",
    ),
    Planted(
        "a promoted server that waits for no standby is not warned about",
        1,
        f"{_BACKEND}schema.py",
        was="        _waited.add(server.name)\n",
        becomes="        _waited.discard(server.name)\n",
        test=f"{_FAILOVER}test_servers_that_wait_for_no_standby_are_warned_about",
    ),
    Planted(
        "a standby that lags issues nonces again",
        4,
        f"{_BACKEND}statements.py",
        was="else 60000000000 end)",
        becomes="else 1 end)",
        test=f"{_FAILOVER}test_a_standby_that_lags_skips_a_minute",
    ),
    Planted(
        "two hosts get one nonce",
        4,
        f"{_BACKEND}statements.py",
        was="step=1, turn='')",
        becomes="step=0, turn='')",
        test=f"{_NONCES}test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart[postgres]",
    ),
    Planted(
        "one fast clock drives the nonces of all hosts ahead",
        5,
        f"{_BACKEND}store.py",
        was="_AHEAD = 60 * SECOND",
        becomes="_AHEAD = 7200 * SECOND",
        test=f"{_NONCES}test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart[postgres]",
    ),
    Planted(
        "a server that does not answer is waited for",
        6,
        f"{_BACKEND}session.py",
        was="None if endless else ANSWER",
        becomes="None",
        test=f"{_NONCES}test_a_server_that_does_not_answer_gives_no_nonce[postgres]",
        hangs=20,
    ),
    Planted(
        "an order that was placed while the state went down is reported as not sent",
        9,
        "src/krakenonce/key/api_key.py",
        was="    except NonceStoreError as error:\n        logger",
        becomes="    except NotImplementedError as error:\n        logger",
        test="tests/hosts/test_programs.py::test_an_order_that_was_placed_while_the_state_went_down_is_a_result",
    ),
    Planted(
        "a nonce is not taken in its turn",
        10,
        "src/krakenonce/manager.py",
        was='cast("Backend", InTurns(self.store)) if hasattr(self.store, IN_TURN) else self.store\n',
        becomes="self.store\n",
        test=f"{_TURNS}test_a_holder_that_was_paused_before_its_nonce_gets_none[postgres]",
    ),
    Planted(
        "a turn that was lost is taken again for its nonce",
        10,
        f"{_BACKEND}gate.py",
        was='                    raise SessionLost(self._why or "it is not held")\n',
        becomes="                    self._session = self._connect()\n",
        test=f"{_TURNS}test_a_turn_that_was_cut_off_gives_no_nonce_and_can_be_had_again[postgres]",
    ),
    Planted(
        "a paused holder keeps its turn",
        10,
        f"{_BACKEND}schema.py",
        was="session.run(_HELLO, round(pause * 1000), name)",
        becomes="session.run(_HELLO, 0, name)",
        test=f"{_TURNS}test_a_holder_that_was_paused_before_its_nonce_gets_none[postgres]",
        hangs=20,
    ),
    Planted(
        "nobody says that a holder lives",
        10,
        "src/krakenonce/backends/heartbeat.py",
        was="                gate.beat()\n",
        becomes="                gate.holder()\n",
        test=f"{_TURNS}test_a_turn_lasts_as_long_as_its_holder_lives[postgres]",
    ),
    Planted(
        "a forked child keeps its parent's turn",
        10,
        f"{_BACKEND}session.py",
        was="                    os.close(fd)\n",
        becomes="                    os.fstat(fd)\n",
        test=f"{_TURNS}test_a_killed_holder_s_turn_is_free_though_its_child_lives[postgres]",
        hangs=20,
    ),
    Planted(
        "a forked child ends its parent's session, and with it the turn",
        10,
        f"{_BACKEND}session.py",
        was="                fd = pg.socket\n",
        becomes="                pg.finish()\n                fd = pg.socket\n",
        test=f"{_TURNS}test_a_child_that_ends_leaves_its_parent_s_turn_alone[postgres]",
    ),
    Planted(
        "a pooler is taken for a server",
        10,
        f"{_BACKEND}schema.py",
        was="    if int(pid or 0) != session.pg.backend_pid:\n",
        becomes="    if pid is None:\n",
        test=f"{_REFUSALS}test_a_pooler_is_refused",
    ),
    Planted(
        "a lockout ends by each host's own clock",
        12,
        "src/krakenonce/key/limiter.py",
        was="        if server_time is not None:  #",
        becomes="        if server_time == 0.0:  #",
        test=f"{_NONCES}test_a_lockout_closes_the_key_on_every_host[postgres]",
    ),
    Planted(
        "the password is in the name of the state",
        "security",
        f"{_BACKEND}server.py",
        was='return Server(conninfo, f"postgresql://{user}@{place}", place)',
        becomes="return Server(conninfo, url, place)",
        test=f"{_REFUSALS}test_a_server_that_is_down_is_named",
    ),
    Planted(
        "a password that every user can read is not warned about",
        "security",
        "src/krakenonce/cli/options.py",
        was="        if has_password(value):\n",
        becomes="        if not value:\n",
        test=f"{_REFUSALS}test_a_password_in_an_option_is_warned_about",
    ),
    Planted(
        "rate limits that were read with the turn overwrite those of another host",
        12,
        f"{_BACKEND}limits.py",
        was="where name = $1 and version = $2 returning 1",
        becomes="where name = $1 and version >= 0 returning 1",
        test=f"{_POSTGRES}test_rate_limits_that_came_with_the_turn_do_not_overwrite_those_of_another_host",
    ),
    Planted(
        "a call that is counted again keeps its place among those that wait",
        12,
        "src/krakenonce/key/limiter.py",
        was="            place.waiting_id, place.counted, place.sent_at = before\n            return",
        becomes="            place.sent_at = before[2]\n            return",
        test="tests/integration/key/test_limiter.py::test_a_step_that_is_taken_again_finds_the_place_as_it_was",
    ),
    Planted(
        "rate limits that came with one turn are used after it",
        12,
        f"{_BACKEND}gate.py",
        was="                self.limits.forget(self.name)\n",
        becomes="",
        test=f"{_POSTGRES}test_a_lockout_is_seen_in_the_next_turn",
    ),
    Planted(
        "an event loop waits for the server",
        10,
        "src/krakenonce/key/far.py",
        was="    if not is_far(store):\n        return step()\n",
        becomes="    if store is not None:\n        return step()\n",
        test="tests/hosts/test_programs.py::test_an_event_loop_goes_on_while_the_server_is_slow[limit_pages]",
        hangs=20,
    ),
    Planted(
        "an event loop waits for a turn of the server",
        10,
        "src/krakenonce/key/waiting.py",
        was="(blocks_loop or self._remote is None) and",
        becomes="",
        test="tests/hosts/test_programs.py::test_an_event_loop_goes_on_while_the_server_is_slow[nonces]",
        hangs=20,
    ),
)
