"""Bugs in what judges the tests: the fake Kraken, and the checker of order."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["JUDGES"]

_ADMISSION = "src/krakenonce/testing/admission.py"
_CHECKER = "src/krakenonce/testing/checker.py"

JUDGES = (
    Planted(
        "the fake Kraken accepts the same nonce twice",
        "judge",
        _ADMISSION,
        was="        if nonce > key.last_nonce:\n",
        becomes="        if nonce >= key.last_nonce:\n",
        test="tests/integration/kraken/test_fake_kraken.py::test_nonces_must_rise",
    ),
    Planted(
        "the fake Kraken does not look at signatures",
        "judge",
        _ADMISSION,
        was="request.is_signed_with(key.signer),",
        becomes="bool(key.signer),",
        test="tests/integration/kraken/test_fake_kraken.py::test_the_signature_covers_path_query_and_body",
    ),
    Planted(
        "the fake Kraken does not log a call that a fault keeps from being executed",
        "judge",
        "src/krakenonce/testing/delivery.py",
        was="        if not course.executed:\n",
        becomes="        if course.answer == 'an error':\n",
        test="tests/integration/testing/test_faults.py::test_the_log_has_the_calls_that_got_a_fault",
    ),
    Planted(
        "a nonce that a fault refuses counts against the bot",
        "judge",
        "src/krakenonce/testing/fake_kraken.py",
        was=' and each.fault != "error"]',
        becomes="]",
        test="tests/integration/testing/test_faults.py::test_a_nonce_that_a_fault_refuses_is_no_defect_of_the_bot",
    ),
    Planted(
        "the fake Kraken ignores a slip in an account's settings",
        "judge",
        "src/krakenonce/testing/control.py",
        was='described.get("name") and described.keys() <= set(names)\n',
        becomes='described.get("name")\n    [described.pop(each) for each in {*described} - {*names}]\n',
        test="tests/integration/testing/test_rules.py::test_a_slip_in_what_is_asked_of_the_fake_is_told",
    ),
    Planted(
        "the command fake-kraken ignores the last nonce",
        "judge",
        "src/krakenonce/cli/fake.py",
        was="balances=balances, last_nonce=last_nonce)",
        becomes="balances=balances)",
        test="tests/integration/cli/test_kraken_commands.py::test_keys_that_were_used_elsewhere",
    ),
    Planted(
        "a nonce issued twice is in order",
        "judge",
        _CHECKER,
        was="        before = seen.setdefault(issue.nonce, issue)\n",
        becomes="        before = seen[issue.nonce] = issue\n",
        test="tests/unit/testing/test_checker.py::test_a_nonce_issued_twice_is_found",
    ),
    Planted(
        "a smaller nonce after a larger one was returned is in order",
        "judge",
        _CHECKER,
        was="issue.nonce < largest[caller].nonce:",
        becomes="issue.nonce < largest[caller].nonce - 10**9:",
        test="tests/unit/testing/test_checker.py::test_a_smaller_nonce_after_a_larger_one_was_returned_is_found",
    ),
    Planted(
        "nonces are checked in the order in which they were reported",
        "judge",
        _CHECKER,
        was="issues = sorted(issues, key=lambda issue: issue.asked)\n",
        becomes="issues = list(issues)\n",
        test="tests/unit/testing/test_checker.py::test_it_says_what_comparing_every_pair_says",
    ),
    Planted(
        "a process out of its own order is not distinguished",
        "judge",
        _CHECKER,
        was="            for caller in (None, following.caller):\n",
        becomes="            for caller in (None,):\n",
        test="tests/unit/testing/test_checker.py::test_it_says_what_comparing_every_pair_says",
    ),
    Planted(
        "the old side of a split may go on for ever",
        "judge",
        "prove/hosts/judge.py",
        was="if issue.answered > split.began + _GOES_ON]:",
        becomes="if issue.answered < split.began]:",
        test="tests/campaigns/test_hosts.py::test_a_split_that_does_more_is_found",
    ),
)
