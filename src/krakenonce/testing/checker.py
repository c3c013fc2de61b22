"""Check the nonces that threads or processes were given: each once, and above all that were returned before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Issue(NamedTuple):
    """One nonce that a caller was given.

    Args:
        asked: When it was asked for, in nanoseconds by one clock for all (``time.monotonic_ns()`` on one host).
        answered: When it was returned.
        nonce: The nonce.
        caller: The process or thread, under any name; a restarted process has another name.
    """

    asked: int
    answered: int
    nonce: int
    caller: str = ""


class Violation(NamedTuple):
    """What is wrong with a nonce.

    Args:
        kind: ``twice``: issued to two calls that overlap. ``issued again``: issued again after it had been returned.
            ``order``: below a nonce that had been returned before this one was asked for. ``own order``: the same
            within one caller.
        issue: The nonce.
        before: The nonce that it contradicts.
    """

    kind: str
    issue: Issue
    before: Issue


def violations(issues: Iterable[Issue]) -> list[Violation]:
    """Return what is wrong with these nonces, for each caller and over all callers; an empty list if nothing is."""
    issues = sorted(issues, key=lambda issue: issue.asked)
    return [*_repeated(issues), *_out_of_order(issues)]


def _repeated(issues: list[Issue]) -> Iterator[Violation]:
    seen: dict[int, Issue] = {}
    for issue in issues:
        before = seen.setdefault(issue.nonce, issue)
        if before is not issue:
            yield Violation("issued again" if before.answered < issue.asked else "twice", issue, before)


def _out_of_order(issues: list[Issue]) -> Iterator[Violation]:
    largest: dict[str | None, Issue] = {}  # returned so far to each caller; None: to any caller
    answered = iter(sorted(issues, key=lambda issue: issue.answered))
    following = next(answered, None)
    for issue in issues:
        while following is not None and following.answered < issue.asked:
            for caller in (None, following.caller):
                largest[caller] = max(largest.get(caller, following), following, key=lambda each: each.nonce)
            following = next(answered, None)
        for caller, kind in ((issue.caller, "own order"), (None, "order")):
            if caller in largest and issue.nonce < largest[caller].nonce:
                yield Violation(kind, issue, largest[caller])
                break
