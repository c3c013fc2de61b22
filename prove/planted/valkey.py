"""Bugs in a state on Valkey or Redis: its marks and the replicas that have them, its leases, and what it refuses.

The tests need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["VALKEY"]

_BACKEND = "src/krakenonce/backends/redis/"
_NONCES = "tests/hosts/test_nonces.py::"
_TURNS = "tests/hosts/test_turns.py::"
_REFUSALS = "tests/hosts/test_valkey_refusals.py::"
_FAILOVER = "tests/hosts/test_valkey_failover.py::"
_LIMITS = "tests/hosts/test_limits.py::"
_VALKEY = "tests/hosts/test_valkey.py::"

VALKEY = (
    Planted(
        "a server that may evict the nonces is used",
        1,
        f"{_BACKEND}hello.py",
        was='    if policy.startswith("allkeys"):\n',
        becomes='    if policy.startswith("never"):\n',
        test=f"{_REFUSALS}test_a_server_that_may_evict_the_nonces_is_refused",
    ),
    Planted(
        "a server that keeps nothing is used",
        1,
        f"{_BACKEND}hello.py",
        was="    if server.volatile:\n",
        becomes="    if not server.volatile:\n",
        test=f"{_REFUSALS}test_a_server_that_keeps_nothing_is_refused_unless_it_is_wanted",
    ),
    Planted(
        "a floor is set though no replica has it",
        1,
        f"{_BACKEND}store.py",
        was='            confirm(session, self._link.server, "a floor")\n',
        becomes="",
        test=f"{_FAILOVER}test_what_a_replica_does_not_confirm_is_not_issued",
    ),
    Planted(
        "nonces are numbers of Lua",
        4,
        f"{_BACKEND}scripts.py",
        was="  return (string.gsub(sum, '^0+(%d)', '%1'))\n",
        becomes="  return string.format('%.0f', tonumber(a) + seconds * 1e9 + ns)\n",
        test=f"{_VALKEY}test_nonces_keep_all_their_digits",
    ),
    Planted(
        "a nonce above the mark is issued before a replica has the mark",
        4,
        f"{_BACKEND}store.py",
        was='            confirm(session, server, "the mark of the nonces")\n',
        becomes="",
        test=f"{_FAILOVER}test_what_a_replica_does_not_confirm_is_not_issued",
    ),
    Planted(
        "a server that its replicas have left issues nonces ahead of the clock until they reach the mark",
        4,
        f"{_BACKEND}scripts.py",
        was="less(kept.mark, nonce) or is_old then",
        becomes="less(kept.mark, nonce) then",
        test=f"{_FAILOVER}test_a_server_that_is_left_behind_stops_though_its_nonces_are_ahead_of_the_clock",
    ),
    Planted(
        "fewer replicas than asked for are enough",
        4,
        f"{_BACKEND}link.py",
        was="        if count < server.replicas:\n",
        becomes="        if count < 0:\n",
        test=f"{_FAILOVER}test_a_promoted_replica_that_lacks_nonces_issues_none_of_them",
    ),
    Planted(
        "another server is not noticed",
        4,
        f"{_BACKEND}scripts.py",
        was="    if found[4] ~= run then\n",
        becomes="    if not found[4] then\n",
        test=f"{_FAILOVER}test_a_promoted_replica_that_lacks_nonces_issues_none_of_them",
    ),
    Planted(
        "which server it is, is what was found out before",
        4,
        f"{_BACKEND}scripts.py",
        was="    'moved', 'since:' .. scope)\n",
        becomes="    'moved', 'since:' .. scope)\n  run = found[4] or run\n",
        test=f"{_FAILOVER}test_a_server_that_was_started_again_skips_what_it_may_not_have",
    ),
    Planted(
        "a replica is taken for the server",
        4,
        f"{_BACKEND}hello.py",
        was='    if about.get("role") != "master":\n',
        becomes='    if about.get("role") == "":\n',
        test=f"{_REFUSALS}test_a_replica_is_refused",
    ),
    Planted(
        "one fast clock drives the nonces on Valkey ahead",
        5,
        f"{_BACKEND}store.py",
        was="_AHEAD = 60  #",
        becomes="_AHEAD = 7200  #",
        test=f"{_NONCES}test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart[valkey]",
    ),
    Planted(
        "a Valkey server that does not answer is waited for",
        6,
        f"{_BACKEND}session.py",
        was="wire.raw.settimeout(ANSWER + patience)",
        becomes="wire.raw.settimeout(None)",
        test=f"{_NONCES}test_a_server_that_does_not_answer_gives_no_nonce[valkey]",
        hangs=20,
    ),
    Planted(
        "the package repeats what has failed",
        6,
        f"{_BACKEND}wire.py",
        was="Retry(NoBackoff(), 0)",
        becomes="Retry(NoBackoff(), 10)",
        test=f"{_VALKEY}test_a_server_that_hangs_up_is_asked_once",
    ),
    Planted(
        "a nonce is taken though the turn was lost",
        10,
        f"{_BACKEND}scripts.py",
        was="then return {'lost'} end\n",
        becomes="then at = at end\n",
        test=f"{_TURNS}test_a_turn_that_was_cut_off_gives_no_nonce_and_can_be_had_again[valkey]",
    ),
    Planted(
        "the turn is looked at before the nonce is taken",
        10,
        f"{_BACKEND}store.py",
        was="                reply = ours[-1].run(lambda session: self._step(session, scope, turns))\n",
        becomes=(
            '                tokens = [self._link.read("HGET", key, "token") for key, _, _ in turns]\n'
            "                if any(found != gate.token.encode() for found, gate in zip(tokens, ours, strict=True)):\n"
            "                    raise _lost(ours)\n"
            "                reply = ours[-1].run(lambda session: self._step(session, scope, []))\n"
        ),
        test=f"{_VALKEY}test_the_look_at_the_turn_and_the_nonce_are_one_step",
    ),
    Planted(
        "a turn without a lease",
        10,
        f"{_BACKEND}scripts.py",
        was="  redis.call('PEXPIRE', turn, lease)\n",
        becomes="  redis.call('HSET', turn, 'lease', 3600000)\n",
        test=f"{_TURNS}test_a_holder_that_was_paused_before_its_nonce_gets_none[valkey]",
        hangs=20,
    ),
    Planted(
        "a nonce that came with a turn is used after a pause",
        10,
        f"{_BACKEND}gate.py",
        was="return came[1] if time.monotonic() < came[2] else None",
        becomes="return came[1]",
        test=f"{_VALKEY}test_a_nonce_that_came_with_a_turn_is_not_used_after_a_pause",
    ),
    Planted(
        "a dead caller in the queue is given the turn for good",
        10,
        f"{_BACKEND}scripts.py",
        was="return give(token, about[1], {CLAIM})",
        becomes="return give(token, about[1], 3600000)",
        test=f"{_VALKEY}test_a_dead_caller_in_the_queue_keeps_the_next_one_waiting_for_a_moment",
        hangs=20,
    ),
    Planted(
        "who waits trusts the server's clock",
        10,
        f"{_BACKEND}gate.py",
        was="silent = seen if now > until else",
        becomes="silent = seen if until < 0 else",
        test=f"{_VALKEY}test_a_server_s_clock_that_is_set_back_does_not_keep_a_turn",
        hangs=20,
    ),
    Planted(
        "a live holder is taken for dead",
        10,
        f"{_BACKEND}scripts.py",
        was="redis.call('HINCRBY', KEYS[1], 'beat', 1)\n",
        becomes="",
        test=f"{_VALKEY}test_a_server_s_clock_that_is_set_forward_ends_the_turns",
    ),
    Planted(
        "a nonce that came late with the bell is used",
        10,
        f"{_BACKEND}gate.py",
        was="asked + _CLAIMED):",
        becomes="asked + 60):",
        test=f"{_VALKEY}test_a_nonce_that_comes_late_with_the_bell_is_not_used",
    ),
    Planted(
        "a turn that came with the bell ends after a moment",
        10,
        f"{_BACKEND}gate.py",
        was="                self._session.post(CONFIRM, self._keys, token, self.lease)\n",
        becomes="",
        test=f"{_VALKEY}test_a_turn_that_came_with_the_bell_is_kept",
        hangs=30,
    ),
    Planted(
        "a turn that was given back on a lost connection stays taken",
        10,
        f"{_BACKEND}gate.py",
        was="        if self._is_posted:\n            session.drain()",
        becomes="        if session:\n            session.drain()",
        test=f"{_VALKEY}test_a_turn_that_was_given_back_on_a_lost_connection_is_soon_free",
        hangs=30,
    ),
    Planted(
        "a forked child keeps its parent's connection",
        10,
        f"{_BACKEND}session.py",
        was="                    os.close(fd)\n",
        becomes="                    os.fstat(fd)\n",
        test=f"{_VALKEY}test_a_killed_process_has_no_connection_left_though_its_child_lives",
        hangs=30,
    ),
    Planted(
        "who was paused in a step of the sent calls overwrites what others have entered",
        9,
        f"{_BACKEND}scripts.py",
        was="if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n",
        becomes="",
        test=f"{_VALKEY}test_a_process_that_stops_within_a_step_keeps_nobody_waiting_for_ever",
    ),
    Planted(
        "rate limits on Valkey that were read with the turn overwrite those of another host",
        12,
        f"{_BACKEND}scripts.py",
        was="if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return look",
        becomes="if (redis.call('HGET', KEYS[1], 'version') or '') == nil then return look",
        test=f"{_LIMITS}test_a_change_of_another_host_is_not_overwritten[valkey]",
    ),
    Planted(
        "rate limits that came with one turn of Valkey are used after it",
        12,
        f"{_BACKEND}gate.py",
        was="                self.limits.forget(self.name)\n",
        becomes="",
        test=f"{_LIMITS}test_a_lockout_is_seen_in_the_next_turn[valkey]",
    ),
    Planted(
        "the rate limits are asked for though they came with the bell",
        12,
        f"{_BACKEND}gate.py",
        was="                self.limits.see(self.name, self.limits.seen(wanted, found))\n",
        becomes="",
        test=f"{_LIMITS}test_rate_limits_come_along_with_a_turn_that_was_waited_for[valkey]",
    ),
    Planted(
        "a change of the rate limits on Valkey whose answer was lost is made twice",
        12,
        f"{_BACKEND}limits.py",
        was="        if found and len(tries) > 1:\n",
        becomes="        if found and not tries:\n",
        test=f"{_LIMITS}test_a_change_whose_answer_was_lost_is_not_made_twice[valkey]",
    ),
    Planted(
        "any server's certificate will do",
        "security",
        f"{_BACKEND}server.py",
        was='    except OSError as error:\n        raise ConfigError(f"{name} names',
        becomes=(
            "        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
            '    except OSError as error:\n        raise ConfigError(f"{name} names'
        ),
        test=f"{_VALKEY}test_a_connection_is_encrypted_and_the_server_s_certificate_checked",
    ),
    Planted(
        "the password is in the name of the server",
        "security",
        f"{_BACKEND}server.py",
        was="{login.partition(':')[0] + '@' if user else ''}",
        becomes="{login}@",
        test=f"{_REFUSALS}test_a_server_that_is_down_is_named",
    ),
    Planted(
        "a port that speaks no TLS is only silent",
        6,
        f"{_BACKEND}session.py",
        was='return "" if wire.is_ready else',
        becomes='return "" if True else',
        test=f"{_VALKEY}test_a_url_with_tls_for_a_port_without_and_the_other_way_round",
    ),
)
