"""Judges what all processes of all hosts have reported, on every kind of server alike."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.testing.checker import Issue
from prove.campaign import Broken, check_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from prove.hosts.crew import Fault
    from prove.pipe import Note, Reported

__all__ = ["ANSWERS", "OLD_SIDE", "judge"]

OLD_SIDE = "on the old side of a split"

ANSWERS = ("accepted", "refused", "unknown")
_GOES_ON = 12 * 10**9  # nanoseconds for which an old side may: ten seconds, and until its processes report it
_NEVER = 2**63
_SHOWN = 3
_NEAR = 5 * 10**9  # nanoseconds: faults that are shown


class _Call(NamedTuple):
    number: int  # of the process
    issue: Issue
    ended: int


def judge(reported: Reported, refused: Iterable[int | None], faults: Sequence[Fault], pause: float) -> dict[str, int]:
    """Return how many calls there were, and of which kinds.

    Args:
        reported: What all processes have reported.
        refused: The nonces that Kraken has refused.
        faults: What was done, to whom and when.
        pause: Seconds for which a process may be paused.

    Raises:
        Broken: A nonce was given twice, or out of the order of real time, where the servers were not split; the old
            side of a split gave larger nonces than the new one, or went on for more than ten seconds; Kraken has
            refused a call of a process to which nothing was done during the call; or a process that had lost its turn
            got a nonce.
    """
    calls = _calls(reported)
    aside = _check_sides(reported, faults)
    wrong = [
        f"process {call.number}, which had lost its turn, got a nonce: {_told(call, faults)}"
        for call in calls.values()
        if _had_lost_its_turn(call, calls.values(), faults)
    ]
    own = 0
    for nonce in refused:
        call = calls.get(nonce or 0)
        if call is None:
            wrong.append(f"Kraken refused {nonce}, which nobody has reported")
        elif _is_own(call, faults, round(pause * 10**9)):
            own += 1
        else:
            wrong.append(
                f"Kraken refused a call of process {call.number}, to which nothing was done: {_told(call, faults)}"
            )
    if wrong:
        raise Broken("\n".join([f"{len(wrong)} calls are wrong:", *wrong[:_SHOWN]]))
    counts = {what: reported.count(what) for what in ("accepted", "lost", "error", "unknown")}
    return {
        "calls accepted": counts["accepted"],
        "refused in a fault of their own": own,
        "turns lost": counts["lost"],
        "not sent": counts["error"],
        "unknown": counts["unknown"],
        OLD_SIDE: aside,
    }


def _check_sides(reported: Reported, faults: Iterable[Fault]) -> int:
    """Check the order of all nonces, on each side of a split by itself; return how many the old side has given."""
    split = next((fault for fault in faults if fault.what == OLD_SIDE), None)
    if split is None:
        check_order(reported.issues)
        return 0
    numbers = _numbers(reported)
    old, others = list[Issue](), list[Issue]()
    for issue in reported.issues:
        is_old = numbers[issue.caller] in split.whom and issue.asked < split.ended and issue.answered > split.began
        (old if is_old else others).append(issue)
    check_order(others)
    check_order([*(issue for issue in others if issue.answered <= split.began), *old])
    known = [issue for issue in old if issue.answered <= split.ended]  # the rest may have asked the new side, too
    least = min((issue.nonce for issue in others if issue.asked >= split.began), default=_NEVER)
    both = {issue.nonce for issue in old}.intersection(issue.nonce for issue in others)
    if both:
        raise Broken(f"both sides of a split gave {[*both][:_SHOWN]}")
    if larger := [issue for issue in known if issue.nonce >= least]:
        raise Broken(f"the new side of a split gave {least}, and the old one larger nonces: {larger[:_SHOWN]}")
    if late := [issue for issue in known if issue.answered > split.began + _GOES_ON]:
        raise Broken(f"the old side of a split went on for more than ten seconds: {late[-_SHOWN:]}")
    return len(known)


def _calls(reported: Reported) -> dict[int, _Call]:
    """Return the calls by their nonces."""
    numbers = _numbers(reported)
    ended = defaultdict(lambda: _NEVER, {int(note.words.split()[0]): note.at for note in _answers(reported)})
    return {issue.nonce: _Call(numbers[issue.caller], issue, ended[issue.nonce]) for issue in reported.issues}


def _numbers(reported: Reported) -> dict[str, int]:
    """Return which process each caller is."""
    return {note.who: int(note.words) for note in reported.notes if note.what == "life"}


def _answers(reported: Reported) -> list[Note]:
    return [note for note in reported.notes if note.what in ANSWERS]


def _is_own(call: _Call, faults: Iterable[Fault], pause: int) -> bool:
    """Whether something was done to the process during the call, or the machine itself has paused it."""
    if _NEVER > call.ended > call.issue.answered + pause:
        return True
    return any(
        call.number in fault.whom and fault.began <= call.ended and fault.ended >= call.issue.asked for fault in faults
    )


def _had_lost_its_turn(call: _Call, calls: Collection[_Call], faults: Iterable[Fault]) -> bool:
    """Whether the process was stopped in its turn, another one got a nonce meanwhile, and then it got this one."""
    return any(
        fault.what == "stop after the turn"
        and fault.whom == (call.number,)
        and call.issue.asked < fault.began
        and call.issue.answered > fault.ended
        and any(each.number != call.number and fault.began < each.issue.answered < fault.ended for each in calls)
        for fault in faults
    )


def _told(call: _Call, faults: Iterable[Fault]) -> str:
    """Return a call with what happened around it, in milliseconds since it was asked for."""
    asked = call.issue.asked

    def at(moment: int) -> str:
        return "never" if moment == _NEVER else f"{(moment - asked) / 1e6:.1f} ms"

    near = [
        f"{fault.what} {list(fault.whom)} from {at(fault.began)} to {at(fault.ended)}"
        for fault in faults
        if fault.began < asked + _NEAR and fault.ended > asked - _NEAR
    ]
    return (
        f"{call.issue}, got after {at(call.issue.answered)}, ended after {at(call.ended)}; near it: {'; '.join(near)}"
    )
