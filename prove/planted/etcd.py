"""Bugs in the state on etcd: what is one transaction, what depends on a lease, and what a lost answer means.

The tests need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["ETCD"]

_BACKEND = "src/krakenonce/backends/etcd/"
_ETCD = "tests/hosts/test_etcd.py::"
_LIMITS = "tests/hosts/test_limits.py::"
_NONCES = "tests/hosts/test_nonces.py::"
_REFUSALS = "tests/hosts/test_etcd_refusals.py::"
_TURNS = "tests/hosts/test_turns.py::"

ETCD = (
    Planted(
        "what is given back during a heartbeat is made sure of by no later one",
        10,
        "src/krakenonce/backends/etcd/lease.py",
        was="            self._leaving.discard(each)  # first: meanwhile it may give back something more\n"
        "            if not each.settle(self._pause / 3):\n                self._leaving.add(each)\n",
        becomes="            if each.settle(self._pause / 3):\n                self._leaving.discard(each)\n",
        test="tests/hosts/test_etcd.py::test_what_is_given_back_during_a_heartbeat_is_made_sure_of_by_the_next",
    ),
    Planted(
        "numbers on etcd are compared as texts",
        4,
        f"{_BACKEND}numbers.py",
        was='return b"%019d" % number',
        becomes='return b"%d" % number',
        test=f"{_ETCD}test_numbers_are_compared_as_numbers",
    ),
    Planted(
        "a nonce is stored over a larger one",
        4,
        f"{_BACKEND}numbers.py",
        was='            is_next = is_value(key, "LESS", _bytes(nonce)) if is_there',
        becomes='            is_next = is_value(key, "GREATER", b"0") if is_there',
        test=f"{_NONCES}test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart[etcd]",
    ),
    Planted(
        "one fast clock drives the nonces of all hosts of an etcd ahead",
        5,
        f"{_BACKEND}numbers.py",
        was="return min(now, theirs + _AHEAD)",
        becomes="return max(now, theirs)",
        test=f"{_NONCES}test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart[etcd]",
    ),
    Planted(
        "a step whose answer was lost is taken for one that was not executed",
        6,
        f"{_BACKEND}ranges.py",
        was="        if not done:  #",
        becomes="        if not done and len(tries) == 1:  #",
        test=f"{_ETCD}test_a_step_whose_answer_was_lost_is_not_called_twice",
    ),
    Planted(
        "a nonce on etcd is stored without its turn",
        10,
        f"{_BACKEND}numbers.py",
        was="wire.txn([is_here(wire), is_next, *fences],",
        becomes="wire.txn([is_here(wire), is_next],",
        test=f"{_TURNS}test_a_holder_that_was_paused_before_its_nonce_gets_none[etcd]",
    ),
    Planted(
        "the turn is checked in a transaction before the nonce's",
        10,
        f"{_BACKEND}numbers.py",
        was="                answer = wire.txn([is_here(wire), is_next, *fences],",
        becomes="                answer = wire.txn(fences, [], otherwise)\n"
        "                if fences and not succeeded(answer):\n"
        '                    raise gates[0].lost("")\n'
        "                answer = wire.txn([is_here(wire), is_next],",
        test=f"{_ETCD}test_a_nonce_and_its_turn_are_one_transaction",
    ),
    Planted(
        "a nonce that came with a turn on etcd is used though the turn may be lost",
        10,
        f"{_BACKEND}gate.py",
        was="time.monotonic() - came[2] > _FRESH",
        becomes="time.monotonic() < came[2]",
        test=f"{_ETCD}test_a_nonce_that_comes_with_the_turn_is_used_once_and_soon",
    ),
    Planted(
        "a nonce that could not come with the turn is used",
        4,
        f"{_BACKEND}gate.py",
        was="            if self._queue.answer:\n                self._came = guessed[0] if guessed else None\n",
        becomes="            self._came = guessed[0] if guessed else None\n"
        '            key = "" if guessed else key\n            if self._queue.answer:\n',
        test=f"{_ETCD}test_a_turn_comes_though_the_nonce_with_it_cannot",
    ),
    Planted(
        "a place in the queue does not depend on the lease",
        10,
        f"{_BACKEND}queue.py",
        was="[put(key, me, number), *with_it]",
        becomes="[put(key, me), *with_it]",
        test=f"{_ETCD}test_what_is_in_a_queue_depends_on_a_lease",
    ),
    Planted(
        "the holder's key is written again, without its lease",
        10,
        f"{_BACKEND}numbers.py",
        was="[put(key, _bytes(nonce)), *along], otherwise)",
        becomes='[put(key, _bytes(nonce)), *(put(place.key, b"") for place in places)], otherwise)',
        test=f"{_ETCD}test_what_is_in_a_queue_depends_on_a_lease",
    ),
    Planted(
        "a place whose answer was lost is taken for one that is not there",
        10,
        f"{_BACKEND}queue.py",
        was="        except BaseException:  # promise 10: the key may be there, or come later\n"
        "            lease.retire(number)\n",
        becomes="        except BaseException:\n",
        test=f"{_ETCD}test_a_place_that_was_taken_though_its_answer_was_lost_blocks_nobody",
        hangs=20,
    ),
    Planted(
        "a waiter does not see what has happened before its news begin",
        10,
        f"{_BACKEND}queue.py",
        was="                    before = self._before(session, use, place)\n                while before:\n",
        becomes="                while before:\n",
        test=f"{_ETCD}test_a_waiter_sees_what_has_happened_before_its_news_begin",
    ),
    Planted(
        "a waiter goes on with the news of a server that its session has left",
        10,
        f"{_BACKEND}queue.py",
        was="if self._news is None or self._news.place != session.server.place():",
        becomes="if self._news is None:",
        test=f"{_ETCD}test_a_waiter_leaves_a_server_that_its_session_has_left",
    ),
    Planted(
        "the news of an etcd are kept for one who does not wait any more",
        10,
        f"{_BACKEND}gate.py",
        was="                self._queue.close()\n        finally",
        becomes="        finally",
        test=f"{_ETCD}test_a_caller_that_has_waited_soon_wants_no_more_news",
        hangs=30,
    ),
    Planted(
        "nobody says to etcd that a holder lives",
        10,
        f"{_BACKEND}lease.py",
        was="                if self._id and self.held:\n",
        becomes="                if not self._id and self.held:\n",
        test=f"{_TURNS}test_a_turn_lasts_as_long_as_its_holder_lives[etcd]",
    ),
    Planted(
        "nobody makes sure that a turn on etcd was given back",
        10,
        f"{_BACKEND}gate.py",
        was="                self._lease.make_sure(self)\n",
        becomes="",
        test=f"{_ETCD}test_a_turn_that_was_given_back_on_a_lost_connection_is_soon_free",
        hangs=30,
    ),
    Planted(
        "a turn on etcd is given back on a lost connection only",
        10,
        f"{_BACKEND}session.py",
        was="                if self._unsure and self._told is not wire:\n",
        becomes="                if self._unsure and self._told is None:\n",
        test=f"{_ETCD}test_a_turn_that_was_given_back_on_a_lost_connection_does_not_keep_the_next_one_out",
        hangs=30,
    ),
    Planted(
        "a process that ends does not wait until its turn on etcd was given back",
        10,
        f"{_BACKEND}gate.py",
        was="atexit.register(_settle_all)\n",
        becomes="",
        test=f"{_ETCD}test_a_process_that_ends_after_its_turn_leaves_nothing",
    ),
    Planted(
        "a forked child keeps its parent's connections to etcd",
        10,
        f"{_BACKEND}stream.py",
        was="                    sock.close()\n",
        becomes="                    sock.fileno()\n",
        test=f"{_ETCD}test_a_child_closes_the_connections_that_it_inherits",
    ),
    Planted(
        "a server that is cut off from the others is waited for",
        6,
        f"{_BACKEND}schema.py",
        was='    if status.get("leader", "0") == "0":\n',
        becomes='    if status.get("leader", "0") == "":\n',
        test=f"{_ETCD}test_a_server_without_the_others_gives_nothing",
    ),
    Planted(
        "rate limits on etcd that were read with the turn overwrite those of another host",
        12,
        f"{_BACKEND}limits.py",
        was="[is_changed_at(self._key(name, 0), seen.version or 0)]",
        becomes="[is_changed_at(self._key(name, 0), 0)] if seen.version is None else []",
        test=f"{_LIMITS}test_a_change_of_another_host_is_not_overwritten[etcd]",
    ),
    Planted(
        "rate limits that came with one turn of etcd are used after it",
        12,
        f"{_BACKEND}gate.py",
        was="                self.limits.forget(self.name)\n",
        becomes="",
        test=f"{_LIMITS}test_a_lockout_is_seen_in_the_next_turn[etcd]",
    ),
    Planted(
        "the rate limits on etcd are asked for after a turn that was waited for",
        12,
        f"{_BACKEND}gate.py",
        was="        self.limits.see(self.name, self.limits.seen(wanted, answer, 1))\n",
        becomes="",
        test=f"{_LIMITS}test_rate_limits_come_along_with_a_turn_that_was_waited_for[etcd]",
    ),
    Planted(
        "a change of the rate limits on etcd whose answer was lost is made twice",
        12,
        f"{_BACKEND}limits.py",
        was="        if len(tries) > 1:\n",
        becomes="        if not tries:\n",
        test=f"{_LIMITS}test_a_change_whose_answer_was_lost_is_not_made_twice[etcd]",
    ),
    Planted(
        "a wrong certificate of etcd is accepted",
        "security",
        f"{_BACKEND}server.py",
        was="ssl.create_default_context(cafile=ca or None)",
        becomes="ssl._create_unverified_context(cafile=ca or None)",
        test=f"{_ETCD}test_tls_is_checked_by_the_certificate_that_is_named",
    ),
    Planted(
        "the password of etcd is in the name of the state",
        "security",
        f"{_BACKEND}server.py",
        was="f\"{parts.scheme}://{f'{user}@' if user else ''}{hosts}/{prefix}\"",
        becomes="url",
        test=f"{_REFUSALS}test_the_name_of_a_state_has_no_password",
    ),
)
