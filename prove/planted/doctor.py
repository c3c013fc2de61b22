"""Bugs in the doctor. Promise 15, and what the security page says."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["DOCTOR"]

_UNIT = "tests/unit/doctor/"
_CAUSES = "tests/integration/doctor/test_causes.py::"
_LOOKS = "tests/integration/doctor/test_looks.py::"
_ONLINE = "tests/integration/doctor/test_online.py::"

DOCTOR = (
    Planted(
        "a key is called poisoned although Kraken has accepted a nonce of it since",
        15,
        "src/krakenonce/doctor/causes.py",
        was="event.before > row.first.nonce for",
        becomes="event.before > 2**63 for",
        test=f"{_UNIT}test_causes.py::test_a_row_is_a_poisoned_key_and_singles_are_another_user",
    ),
    Planted(
        "two refusals are enough to blame another program",
        15,
        "src/krakenonce/doctor/causes.py",
        was="_SINGLES = 2 ",
        becomes="_SINGLES = 1 ",
        test=f"{_CAUSES}test_another_program_that_takes_no_turns",
    ),
    Planted(
        "a switch of the state long before is blamed for a refusal",
        15,
        "src/krakenonce/doctor/causes.py",
        was="    return group.first - _NEAR <= used <= group.last + _NEAR\n",
        becomes="    return True\n",
        test=f"{_UNIT}test_causes.py::test_a_use_of_another_state_counts_near_a_refusal_only",
    ),
    Planted(
        "a rival who is faster a few times is taken for a poisoned key",
        15,
        "src/krakenonce/doctor/causes.py",
        was=" or row.seconds < _LASTING):",
        becomes="):",
        test=f"{_UNIT}test_causes.py::test_a_row_within_a_second_must_be_longer",
    ),
    Planted(
        "a process does not count how many nonces in a row were refused",
        14,
        "src/krakenonce/key/api_key.py",
        was="self._in_a_row + 1 if self._refused and",
        becomes="self._in_a_row + 1 if not self.sent and",
        test=f"{_CAUSES}test_a_poisoned_key",
    ),
    Planted(
        "a lockout that the state knows of is not seen",
        15,
        "src/krakenonce/doctor/state.py",
        was="        yield Limit(name, level, waiting, left)\n",
        becomes="        yield Limit(name, level, waiting)\n",
        test=f"{_LOOKS}test_a_lockout_that_only_the_state_knows_of_is_seen",
    ),
    Planted(
        "what comes after a lockout is named as its cause",
        15,
        "src/krakenonce/doctor/causes_of_calls.py",
        was="each.first <= group.first and each.last",
        becomes="each.last",
        test=f"{_UNIT}test_causes.py::test_refusals_after_a_lockout_are_not_its_cause",
    ),
    Planted(
        "the state of another process is not seen",
        15,
        "src/krakenonce/doctor/processes.py",
        was='            if match["lane"]:\n',
        becomes="            if not match:\n",
        test=f"{_CAUSES}test_processes_with_different_states",
    ),
    Planted(
        "other variables of a process than ours are read",
        15,
        "src/krakenonce/doctor/processes.py",
        was=" if pair.startswith(_OURS))",
        becomes=' if b"=" in pair)',
        test=f"{_LOOKS}test_only_our_variables_of_a_process_are_read",
    ),
    Planted(
        "the doctor issues a nonce",
        15,
        "src/krakenonce/doctor/state.py",
        was="            last = manager.peek(name)\n",
        becomes="            last = manager.next(name)\n",
        test=f"{_LOOKS}test_the_doctor_changes_nothing_and_issues_no_nonce",
    ),
    Planted(
        "the doctor writes the rate limits",
        15,
        "src/krakenonce/doctor/state.py",
        was="        yield from _limit(name, _ReadOnly(lambda",
        becomes="        store.rate_limits.step(name, lambda file: file.write(0, bytes(9)))\n"
        "        yield from _limit(name, _ReadOnly(lambda",
        test=f"{_LOOKS}test_the_doctor_changes_nothing_and_issues_no_nonce",
    ),
    Planted(
        "a lane that is free counts as held by who had it last",
        15,
        "src/krakenonce/doctor/state.py",
        was="        if lock is None or not lock.pid:\n",
        becomes="        lock = lock or Lock(1, 0)\n        if not lock.pid:\n",
        test=f"{_LOOKS}test_a_lane_that_is_free_is_not_taken_for_held",
    ),
    Planted(
        "a process that has got the id of another one is taken for it",
        15,
        "src/krakenonce/doctor/processes.py",
        was="booted + begun <= at + 2.0",
        becomes="booted + begun > 0.0",
        test=f"{_LOOKS}test_a_process_that_has_got_the_id_of_another_one_is_not_taken_for_it",
    ),
    Planted(
        "Kraken is asked about a key that the state has not used",
        15,
        "src/krakenonce/doctor/online.py",
        was="        if key in self.used or account in self.chosen:\n",
        becomes="        if account:\n",
        test=f"{_ONLINE}test_only_keys_that_the_state_has_used_are_asked_about",
    ),
    Planted(
        "a password in another process's URL of a state is shown",
        "security",
        "src/krakenonce/doctor/processes.py",
        was="        return named.server.url\n",
        becomes="        return text\n",
        test=f"{_LOOKS}test_a_password_of_a_state_s_url_is_not_shown",
    ),
)
