"""Bugs in Kraken's limits as they are kept here. Promise 12."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["LIMITS"]

_CONTAINERS = "tests/integration/key/test_containers.py"
_TIME = "src/krakenonce/key/state_time.py"
_RULES = "src/krakenonce/kraken/calling.py"

LIMITS = (
    Planted(
        "the rate limits are checked after the nonce was taken",
        12,
        "src/krakenonce/key/api_key.py",
        was="            must = MustWait(",
        becomes="            self.next()\n            must = MustWait(",
        test="tests/unit/kraken/test_calling.py::test_without_patience_there_is_an_error_instead_of_a_wait",
    ),
    Planted(
        "a lockout is this process's own",
        12,
        "src/krakenonce/key/api_key.py",
        was="Limiter(manager.store.rate_limits, ",
        becomes="Limiter(type(manager)('memory:').store.rate_limits, ",
        test="tests/integration/kraken/test_shared_limits.py::test_a_lockout_seen_by_one_process_closes_the_key_for_all",
    ),
    Planted(
        "calls go on during a lockout",
        12,
        "src/krakenonce/key/api_key.py",
        was="        refuse_if(booking.locked_out)\n",
        becomes="",
        test="tests/unit/kraken/test_calling.py::test_a_lockout_closes_the_key",
    ),
    Planted(
        "a lockout that comes while a call waits is not seen",
        12,
        "src/krakenonce/key/api_key.py",
        was="        booking = self._limiter.book(place, longest, send=send)\n        refuse_if(booking.locked_out)\n",
        becomes="        is_new = not place.waiting_id\n"
        "        booking = self._limiter.book(place, longest, send=send)\n"
        "        refuse_if(booking.locked_out * is_new)\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_a_lockout_that_comes_during_a_wait_is_kept",
    ),
    Planted(
        "the limits' lock is shared",
        12,
        "src/krakenonce/backends/file/locked_files.py",
        was="from fcntl import LOCK_EX, LOCK_UN, flock\n",
        becomes="from fcntl import LOCK_SH as LOCK_EX\nfrom fcntl import LOCK_UN, flock\n",
        test="tests/integration/key/test_limiter.py::test_who_books_waits_while_another_process_is_inside",
    ),
    Planted(
        "a call that waits in the queue when a lockout comes is sent",
        12,
        "src/krakenonce/key/api_key.py",
        was="        refuse_if(self._limiter.send(place))\n",
        becomes="        self._limiter.send(place)\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_a_call_that_waits_in_the_queue_when_the_lockout_comes_is_not_sent",
    ),
    Planted(
        "a call with a nonce of its own is sent in a lockout",
        12,
        "src/krakenonce/kraken/session.py",
        was="            api_key.count(place)\n",
        becomes="            pass\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_a_call_with_a_nonce_of_its_own_is_not_sent_either[sync]",
    ),
    Planted(
        "a call that waits is not booked",
        12,
        "src/krakenonce/key/counting.py",
        was="    kept = [Waiting(",
        becomes="    kept = [] if wait else [Waiting(",
        test="tests/integration/key/test_limiter.py::test_calls_beyond_the_maximum_are_given_a_time",
    ),
    Planted(
        "a call that may go has no place until it is sent",
        12,
        "src/krakenonce/key/counting.py",
        was="    kept = [Waiting(",
        becomes="    kept = [] if not wait else [Waiting(",
        test="tests/integration/key/test_limiter.py::test_a_call_that_may_go_keeps_its_place_until_it_is_sent",
    ),
    Planted(
        "a call that need not wait is not counted",
        12,
        "src/krakenonce/key/counting.py",
        was="            _count(state, place, charges, now)\n            return",
        becomes="            return",
        test="tests/unit/kraken/test_calling.py::test_calls_wait_for_room_before_they_take_a_number",
    ),
    Planted(
        "a call that is given up keeps its place in the limits",
        12,
        "src/krakenonce/key/limiter.py",
        was="            with contextlib.suppress(NonceStoreError):\n",
        becomes="            with contextlib.suppress(NonceStoreError):\n                return\n",
        test="tests/integration/key/test_limiter.py::test_a_call_that_is_given_up_leaves_its_place",
    ),
    Planted(
        "a call that found no connection stays counted",
        12,
        _RULES,
        was="                yield StateStep(partial(self.key_of(call).not_sent, self.place(call)))\n",
        becomes="",
        test="tests/integration/kraken/test_rules_of_calls.py::test_what_was_not_sent_is_not_counted[not sent]",
    ),
    Planted(
        "a task that is cancelled while its call is asked for keeps a place",
        12,
        "src/krakenonce/key/limiter.py",
        was="        if place.is_left:  #",
        becomes="        if not place:  #",
        test="tests/integration/key/test_limiter.py::test_a_place_that_is_left_while_it_is_asked_for_is_not_kept",
    ),
    Planted(
        "the places of a process that is gone are kept",
        12,
        "src/krakenonce/key/counting.py",
        was="now - each.seen < LAPSE",
        becomes="now - each.seen < 100 * LAPSE",
        test="tests/integration/key/test_limiter.py::test_the_places_of_a_process_that_is_gone_fade",
    ),
    Planted(
        "cancels wait behind reads in the limits",
        12,
        "src/krakenonce/key/counting.py",
        was="    how = URGENT if is_urgent(place.method, place.params) else 0\n",
        becomes="    how = 0\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_panic_does_not_wait_behind_reads",
    ),
    Planted(
        "another boot id empties the state",
        12,
        "src/krakenonce/key/limits_state.py",
        was="        if self._start.startswith(_MAGIC):\n",
        becomes='        if self._start.startswith(_MAGIC + reading.clock.to_bytes(8, "little")):\n',
        test=f"{_CONTAINERS}::test_a_lockout_is_seen_in_every_container",
    ),
    Planted(
        "a lockout is measured with another container's time since boot",
        12,
        _TIME,
        was="    if anchor.clock == reading.clock and",
        becomes="    if",
        test=f"{_CONTAINERS}::test_a_lockout_is_seen_in_every_container",
    ),
    Planted(
        "a step of the wall clock is passed on to the next container",
        12,
        _TIME,
        was="        return now, anchor if is_steady else",
        becomes="        return now, anchor if is_steady or True else",
        test=f"{_CONTAINERS}::test_a_step_of_the_wall_clock_that_was_seen_changes_no_lockout",
    ),
    Planted(
        "the time of the rate limits goes back with the wall clock",
        12,
        _TIME,
        was="    if not last <= now < FAR:\n",
        becomes="    if not now < FAR:\n",
        test=f"{_CONTAINERS}::test_after_a_step_back_counters_fall_again",
    ),
    Planted(
        "a wall clock in 1970 is believed",
        12,
        "src/krakenonce/key/limiter.py",
        was="wall_ns / 1e9 if in_range(wall_ns) else math.nan",
        becomes="wall_ns / 1e9",
        test=f"{_CONTAINERS}::test_a_wall_clock_that_is_set_right_after_the_boot_ends_no_lockout",
    ),
    Planted(
        "where no boot is known, all have the same clock",
        12,
        "src/krakenonce/key/limiter.py",
        was="stable_hash(boot_id or os.urandom(16).hex())",
        becomes="stable_hash(boot_id)",
        test=f"{_CONTAINERS}::test_processes_whose_boot_is_not_known_have_a_clock_each",
    ),
)
