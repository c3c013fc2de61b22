"""The judge of numbers that several threads or processes were given: each once, and each above all answered before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Issue", "Violation", "violations"]


class Issue(NamedTuple):
    """One number that somebody was given.

    Args:
        asked: When it was asked for, in nanoseconds by one clock for all (``time.monotonic_ns()`` on one host).
        answered: When it was there.
        number: The number.
        who: The process or thread, in any words; one name for each life of it.
    """

    asked: int
    answered: int
    number: int
    who: str = ""


class Violation(NamedTuple):
    """What is wrong with a number.

    Args:
        kind: ``twice``: given to two calls that overlap. ``revived``: given again after it had been given.
            ``order``: not above a number that had been answered before this one was asked for. ``own order``: the same
            within one caller.
        issue: The number.
        before: The one that it contradicts.
    """

    kind: str
    issue: Issue
    before: Issue


def violations(issues: Iterable[Issue]) -> list[Violation]:
    """Return what is wrong with these numbers, per caller and over all; nothing if all is well."""
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
    largest: dict[str | None, Issue] = {}  # of all answered so far by each caller; None: by anybody
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
