"""Bugs in gateways that share a database: what was sent, their local keys, and that they do not wait for it.

The tests of ``tests/hosts`` need what ``make test-integrations`` installs.
"""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["SHARED_GATEWAYS"]

_FENCE = "src/krakenonce/gateway/fence.py"
_GATEWAYS = "tests/hosts/test_gateways.py::"
_KEYS = "src/krakenonce/gateway/key_storage.py"
_PAGES = "src/krakenonce/backends/postgres/pages.py"
_POSTGRES = "tests/hosts/test_postgres_gateways.py::"
RECORD = "tests/integration/gateway/test_key_record.py::"

SHARED_GATEWAYS = (
    Planted(
        "what was sent may be lost in a crash of the database",
        9,
        _PAGES,
        was='_BEGIN = """\nbegin;\n',
        becomes='_BEGIN = """\nbegin; set local synchronous_commit = off;\n',
        test=f"{_POSTGRES}test_what_was_sent_waits_for_the_server_s_disk",
    ),
    Planted(
        "two hosts write what was sent at the same time",
        9,
        _PAGES,
        was="where name = '{name}' for update;",
        becomes="where name = '{name}';",
        test=f"{_GATEWAYS}test_no_step_of_sent_calls_is_lost_among_hosts",
    ),
    Planted(
        "each new record of sent calls fills the database with zeros",
        9,
        "src/krakenonce/backends/pages.py",
        was="if data or number * self._page < self._before}",
        becomes="if number >= 0}",
        test=f"{_POSTGRES}test_a_new_record_costs_nothing_and_a_call_one_page",
    ),
    Planted(
        "what became of a call is not known when another gateway has the turn",
        9,
        _FENCE,
        was="Status.SENT, reply)\n        await self.records.written(sending)\n",
        becomes="Status.SENT, reply)\n",
        test=f"{_GATEWAYS}test_what_became_of_a_call_is_written_in_its_turn",
    ),
    Planted(
        "an order that got another one's answer while that was entered is sent when it is repeated",
        9,
        _FENCE,
        was="            await self._enter_joined(sending, late)\n",
        becomes="            pass\n",
        test=f"{_GATEWAYS}test_an_equal_order_that_comes_while_the_first_is_entered_is_not_sent_later",
    ),
    Planted(
        "all calls wait for one step of a database",
        10,
        "src/krakenonce/gateway/state_steps.py",
        was="        self.are_far = is_far(store)\n",
        becomes="        self.are_far = not is_far(store)\n",
        test=f"{_POSTGRES}test_other_calls_go_on_while_a_step_of_one_waits",
        hangs=30,
    ),
    Planted(
        "a database that answers slowly is said to be silent",
        10,
        "src/krakenonce/gateway/state_look.py",
        was="        self._heard = time.monotonic()\n        return answer\n",
        becomes="        return answer\n",
        test="tests/integration/gateway/test_state_look.py::test_a_state_that_answers_slowly_is_not_silent",
    ),
    Planted(
        "a local key that was revoked on another host is valid for ever",
        "security",
        _KEYS,
        was="        if not self.is_at_hand:\n",
        becomes="        if self._read_at < 0.0:\n",
        test=f"{RECORD}test_a_revoked_key_is_refused_within_a_second_and_the_record_is_read_once_in_it",
    ),
    Planted(
        "a local key is valid while nobody can tell whether it was revoked",
        "security",
        _KEYS,
        was="            raise ConfigError(str(self._error))\n",
        becomes="            pass\n",
        test=f"{RECORD}test_no_key_is_valid_while_the_record_cannot_be_read",
    ),
    Planted(
        "of two local keys that are added at once one is lost",
        "security",
        _KEYS,
        was="                    self._records.write(RECORD, data, before)\n",
        becomes="                    with contextlib.suppress(RecordChanged):\n"
        "                        self._records.write(RECORD, data, before)\n",
        test=f"{RECORD}test_who_was_slower_reads_what_another_has_written_and_tries_again",
    ),
)
