"""One judge of order for every test that collects numbers from several threads or processes."""

from collections.abc import Iterable
from typing import NamedTuple


class Issue(NamedTuple):
    """One number: when it was asked for and answered, by one clock for all (nanoseconds), and by whom."""

    asked: int
    answered: int
    number: int
    who: str = ""


def violations(issues: Iterable[Issue]) -> list[str]:
    """Say what is wrong: numbers issued twice, and numbers asked for after a larger one was answered."""
    issues = list(issues)
    wrong = []
    seen: dict[int, Issue] = {}
    for issue in issues:
        if issue.number in seen:
            wrong.append(f"twice: {issue} and {seen[issue.number]}")
        seen[issue.number] = issue
    answered = sorted(issues, key=lambda issue: issue.answered)
    largest: Issue | None = None
    done = 0
    for issue in sorted(issues, key=lambda issue: issue.asked):
        while done < len(answered) and answered[done].answered < issue.asked:
            if largest is None or answered[done].number > largest.number:
                largest = answered[done]
            done += 1
        if largest is not None and issue.number <= largest.number:
            wrong.append(f"out of order: {issue} was asked for after {largest} had been answered")
    return wrong
