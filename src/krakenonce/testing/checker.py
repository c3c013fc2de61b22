"""Check the nonces that threads or processes were given: each once, and above all that were given before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Issue", "Violation", "violations"]


class Issue(NamedTuple):
    """One nonce that a caller was given.

    Args:
        asked: When it was asked for, in nanoseconds by one clock for all (``time.monotonic_ns()`` on one host).
        answered: When the caller had it.
        number: The nonce.
        who: The process or thread, under any name; a restarted process has another name.
    """

    asked: int
    answered: int
    number: int
    who: str = ""


class Violation(NamedTuple):
    """What is wrong with a nonce.

    Args:
        kind: ``twice``: given to two calls that overlap. ``revived``: given again after it had been given.
            ``order``: below a nonce that had been given before this one was asked for. ``own order``: the same
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


def _repeated(issues: list[Issue]) -> list[Violation]:
    wrong = []
    seen: dict[int, Issue] = {}
    for issue in issues:
        before = seen.setdefault(issue.number, issue)
        if before is not issue:
            wrong.append(Violation("revived" if before.answered < issue.asked else "twice", issue, before))
    return wrong


def _out_of_order(issues: list[Issue]) -> list[Violation]:
    wrong = []
    largest: dict[str | None, Issue] = {}  # given so far to each caller; None: to any caller
    answered = iter(sorted(issues, key=lambda issue: issue.answered))
    following = next(answered, None)
    for issue in issues:
        while following is not None and following.answered < issue.asked:
            for who in (None, following.who):
                if following.number > largest.get(who, following).number or who not in largest:
                    largest[who] = following
            following = next(answered, None)
        for who, kind in ((issue.who, "own order"), (None, "order")):
            if who in largest and issue.number < largest[who].number:
                wrong.append(Violation(kind, issue, largest[who]))
                break
    return wrong
