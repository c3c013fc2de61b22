"""Bugs in Kraken's limits as they are kept here. Promise 12."""

from __future__ import annotations

from .bug import Planted

__all__ = ["LIMITS"]

_RULES = "src/krakenonce/kraken/calling.py"

LIMITS = (
    Planted(
        "the limits are looked at after the number was taken",
        12,
        _RULES,
        was="""\
                yield from self._room(exchange, tries)
                try:
                    result = result_of((yield exchange), self._now())
""",
        becomes="""\
                try:
                    result = result_of((yield exchange), self._now())
                    yield from self._room(exchange, tries)
""",
        test="tests/kraken/test_calling.py::test_without_patience_there_is_an_error_instead_of_a_wait",
    ),
    Planted(
        "a lockout is this process's own",
        12,
        "src/krakenonce/kraken/session.py",
        was="Limiter(manager.store.lanes_dir)",
        becomes="Limiter(None)",
        test="tests/kraken/test_shared_limits.py::test_a_lockout_told_to_one_process_closes_the_key_for_all",
    ),
    Planted(
        "calls go on during a lockout",
        12,
        _RULES,
        was="        _refuse_if_locked_out(booking.locked_out)\n",
        becomes="",
        test="tests/kraken/test_calling.py::test_a_lockout_closes_the_key",
    ),
    Planted(
        "a lockout that comes while a call waits is not seen",
        12,
        _RULES,
        was="        _refuse_if_locked_out(self._limiter.book(self._key, None, exchange.method, "
        "exchange.params, 0.0).locked_out)\n",
        becomes="",
        test="tests/kraken/test_rules_of_calls.py::test_a_lockout_that_comes_during_a_wait_is_kept",
    ),
    Planted(
        "the limits' lock is shared",
        12,
        "src/krakenonce/kraken/limits_state.py",
        was="from fcntl import LOCK_EX, LOCK_UN, flock\n",
        becomes="from fcntl import LOCK_SH as LOCK_EX\nfrom fcntl import LOCK_UN, flock\n",
        test="tests/kraken/test_limiter.py::test_who_books_waits_while_another_limiter_is_inside",
    ),
    Planted(
        "who stands in line when a lockout comes is sent",
        12,
        "src/krakenonce/kraken/session.py",
        was="        self.calls.check_open()\n",
        becomes="",
        test="tests/kraken/test_rules_of_calls.py::test_who_stands_in_line_when_the_lockout_comes_is_not_sent",
    ),
    Planted(
        "a call with a number of its own is sent in a lockout",
        12,
        "src/krakenonce/kraken/client.py",
        was="            self.calls.check_open()\n",
        becomes="",
        test="tests/kraken/test_rules_of_calls.py::test_a_call_with_a_number_of_its_own_is_not_sent_either[sync]",
    ),
    Planted(
        "a call that waits is not booked",
        12,
        "src/krakenonce/kraken/limiter.py",
        was="            place.write(offset, COUNTER.pack(charge.booked(wait), now))\n",
        becomes="            if not wait:\n"
        "                place.write(offset, COUNTER.pack(charge.booked(wait), now))\n",
        test="tests/kraken/test_limiter.py::test_calls_beyond_the_maximum_are_given_a_time",
    ),
)
