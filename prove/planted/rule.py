"""Bugs in the arithmetic: which clock to trust, and where nonces end. Promises 5 and 8."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["RULE"]

_RULE = "src/krakenonce/rule.py"
_STEP = "src/krakenonce/backends/file/scope_files.py"
_STATE = "src/krakenonce/backends/file/scope_state.py"

RULE = (
    Planted(
        "a clock that steps back lowers the nonce",
        5,
        _STEP,
        was="nonce = now_ns if now_ns > last else last + 1\n",
        becomes="nonce = now_ns\n",
        test="tests/integration/backends/test_clock_steps.py::test_an_hour_back_is_gone_on_from_at_once_and_counted",
    ),
    Planted(
        "the rule itself follows the clock down",
        5,
        _RULE,
        was="nonce = now_ns if last is None else max(last + 1, now_ns)",
        becomes="nonce = now_ns if last is None else max(last - 10**9, now_ns)",
        test="tests/unit/backends/test_rule.py::test_no_clock_lowers_the_nonce",
    ),
    Planted(
        "a step forward is trusted at once",
        5,
        _RULE,
        was="    if boot_ns - since >= STEP_LASTS:\n",
        becomes="    if boot_ns >= since:\n",
        test="tests/integration/backends/test_clock_steps.py::test_an_hour_forward_is_not_written_down_until_it_lasts",
    ),
    Planted(
        "a step forward is never trusted",
        5,
        _RULE,
        was="    since, ahead = anchor.step_since, anchor.step_ns\n",
        becomes="    since, ahead = 0, anchor.step_ns\n",
        test="tests/integration/backends/test_clock_steps.py::test_an_hour_forward_is_not_written_down_until_it_lasts",
    ),
    Planted(
        "a step forward that grows has lasted all the same",
        5,
        _RULE,
        was="    if not since or step > ahead + STEP_LIMIT:",
        becomes="    if not since:",
        test="tests/unit/backends/test_rule.py::test_a_step_that_grows_has_to_last_again",
    ),
    Planted(
        "after a step back time is projected from the clock before it",
        5,
        _STEP,
        was="        elif now_ns < state.now - SECOND:\n",
        becomes="        elif now_ns < 0:\n",
        test="tests/integration/backends/test_clock_steps.py::test_after_a_step_back_a_jump_is_measured_from_the_clock_then",
    ),
    Planted(
        "the clocks of the process before are forgotten",
        5,
        _STEP,
        was="theirs = record.anchor if of_this_boot(record, self._clock) and record else None",
        becomes="theirs = None",
        test="tests/integration/backends/test_clock_steps.py::test_a_jump_between_two_short_processes_is_noticed_too",
    ),
    Planted(
        "a time namespace has the machine's time since boot",
        5,
        "src/krakenonce/clock.py",
        was="    return boot and boot + shift\n",
        becomes="    return boot\n",
        test="tests/unit/test_clock.py::test_a_shifted_time_has_another_name",
    ),
    Planted(
        "the clock is read before the lock is waited for",
        5,
        _STEP,
        was="            _lock(mark_fd)\n            text = os.pread(self._text_fd, READ, 0)\n"
        "            last = self._advance(text, self._now_ns())",
        becomes="            now_ns = self._now_ns()\n            _lock(mark_fd)\n"
        "            text = os.pread(self._text_fd, READ, 0)\n            last = self._advance(text, now_ns)",
        test="tests/integration/backends/test_clock_steps.py::test_a_wait_for_the_lock_is_no_step_of_the_clock",
    ),
    Planted(
        "a new step has lasted since the look before",
        5,
        _RULE,
        was="        since, ahead = boot_ns, step\n",
        becomes="        since, ahead = anchor.boot_ns, step\n",
        test="tests/integration/backends/test_clock_steps.py::test_a_step_while_the_lock_is_waited_for_has_not_lasted_since",
    ),
    Planted(
        "below a mark that is far ahead no clock step is checked",
        5,
        "src/krakenonce/backends/file/scope_files.py",
        was=" or now_ns - state.anchor.wall_ns > MARK_STEP:",
        becomes=":",
        test="tests/integration/backends/test_disk_faults.py::test_a_floor_that_failed_leaves_the_guard_against_jumps",
    ),
    Planted(
        "a clock in 1970 or 2500 is written down",
        5,
        _RULE,
        was="    return EARLIEST <= now_ns < LATEST\n",
        becomes="    return 0 <= now_ns < NONCE_MAX\n",
        test="tests/integration/backends/test_clock_steps.py::test_an_impossible_clock_without_an_earlier_nonce_is_an_error",
    ),
    Planted(
        "nonces continue above 2^63 - 1",
        8,
        _RULE,
        was="    if nonce > NONCE_MAX:\n",
        becomes="    if nonce > 2 * NONCE_MAX:\n",
        test="tests/unit/backends/test_rule.py::test_the_largest_nonce_can_be_issued_and_no_other_after_it",
    ),
    Planted(
        "the largest nonce is that of unsigned integers",
        8,
        _RULE,
        was="NONCE_MAX = 2**63 - 1 ",
        becomes="NONCE_MAX = 2**64 - 1 ",
        test="tests/unit/backends/test_rule.py::test_the_largest_nonce_is_that_of_signed_integers",
    ),
    Planted(
        "a floor that leaves no nonce is accepted",
        8,
        _RULE,
        was="    if not 0 <= floor < NONCE_MAX:\n",
        becomes="    if not 0 <= floor <= NONCE_MAX:\n",
        test="tests/integration/backends/test_contract.py::test_a_floor_out_of_range_is_refused_and_changes_nothing",
    ),
)
