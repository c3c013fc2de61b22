"""Bugs in what the tests are judged by: the fake Kraken, and the checker of order."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["JUDGES"]

_ADMISSION = "src/krakenonce/testing/admission.py"
_CHECKER = "src/krakenonce/testing/checker.py"

JUDGES = (
    Planted(
        "the fake Kraken accepts the same number twice",
        "judge",
        _ADMISSION,
        was="        if nonce > account.last_nonce:\n",
        becomes="        if nonce >= account.last_nonce:\n",
        test="tests/integration/kraken/test_fake_kraken.py::test_numbers_must_rise",
    ),
    Planted(
        "the fake Kraken does not look at signatures",
        "judge",
        _ADMISSION,
        was="request.is_signed_with(decode_secret(account.secret)),",
        becomes="bool(decode_secret(account.secret)),",
        test="tests/integration/kraken/test_fake_kraken.py::test_the_signature_covers_path_query_and_body",
    ),
    Planted(
        "a number given twice is in order",
        "judge",
        _CHECKER,
        was="        before = seen.setdefault(issue.number, issue)\n",
        becomes="        before = seen[issue.number] = issue\n",
        test="tests/unit/testing/test_checker.py::test_a_number_given_twice_is_found",
    ),
    Planted(
        "a smaller number after a larger answer is in order",
        "judge",
        _CHECKER,
        was="issue.number < largest[who].number:",
        becomes="issue.number < largest[who].number - 10**9:",
        test="tests/unit/testing/test_checker.py::test_a_smaller_number_after_a_larger_answer_is_found",
    ),
    Planted(
        "numbers are judged in the order in which they were told",
        "judge",
        _CHECKER,
        was="issues = sorted(issues, key=lambda issue: issue.asked)\n",
        becomes="issues = list(issues)\n",
        test="tests/unit/testing/test_checker.py::test_it_says_what_comparing_every_pair_says",
    ),
    Planted(
        "a process out of its own order is not told apart",
        "judge",
        _CHECKER,
        was="            for who in (None, following.who):\n",
        becomes="            for who in (None,):\n",
        test="tests/unit/testing/test_checker.py::test_it_says_what_comparing_every_pair_says",
    ),
)
