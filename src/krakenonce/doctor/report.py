"""What the doctor says: the verdict, the findings, what is fine, and what is not known. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.doctor.words import lasting, moment, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.doctor.facts import Facts, Finding


_SHOWN = 5  # findings in the verdict, counters, processes and lanes
_UNUSED = "no program has used this state yet: is it the one that yours use?"
_AHEAD = 1.0  # seconds by which a counter is worth a word
_REASONS = {"adopted": "the key was adopted", "floor_raised": "a floor was raised", "clock_step": "the clock was set"}


def verdict(findings: list[Finding], *, is_used: bool = True) -> str:
    """Return what is wrong in one line.

    Args:
        findings: All that was found.
        is_used: Whether a program has used the state. If not, its name may have a slip.
    """
    wrong = [finding for finding in findings if not finding.is_over]
    if not wrong:
        over = len(findings)
        if over:
            return f"nothing is wrong now; {some(over, 'thing')} that passed {'is' if over == 1 else 'are'} below"
        return "nothing is wrong" if is_used else f"nothing is wrong, but {_UNUSED}"
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    said = "; ".join(finding.what for finding in wrong[:_SHOWN])
    return f"{some(len(wrong), 'thing')} {'is' if len(wrong) == 1 else 'are'} wrong: {said}{more}"


def text(facts: Facts, findings: list[Finding], notes: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of the report."""
    yield verdict(findings, is_used=facts.is_used)
    for number, finding in enumerate(findings, 1):
        yield ""
        says = "over" if finding.is_over else finding.certainty
        yield f"{number}. {finding.what} ({says})"
        yield from (f"   seen: {line}" for line in finding.evidence)
        yield from (f"   do:   {line}" for line in finding.do)
    yield ""
    yield from (f"{name}: {said}" for name, said in about(facts))
    yield from (f"online: {note}" for note in notes)
    yield from (f"not known: {line}" for line in (*facts.state.not_known, *facts.not_known))


def about(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what was seen and is no finding, in short: each with its name."""
    state = facts.state
    yield "state", f"{state.place}, for {state.shared}: {state.why}"
    yield from state.details.items()
    yield "counters", _counters(facts)
    yield "keys", f"{len(state.keys)} have had a turn here"
    held = [f"{lane.key}: {lane.holder}" for lane in state.held[:_SHOWN]]
    yield "lanes held now", "; ".join(held) or "none"
    full = [f"{each.key}: {some(each.waiting, 'call')} wait" for each in state.limits if each.waiting]
    yield "rate limits", "; ".join(full[:_SHOWN]) or "no call waits"
    ours_first = sorted(facts.processes, key=lambda each: state.place not in each.states)
    users = [f"{each} ({each.places})" for each in ours_first]
    more = f", and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    yield "processes", (", ".join(users[:_SHOWN]) or "none that uses a state was seen") + more
    read = f"{facts.history.lines} lines" if facts.history.lines else "nothing"
    yield "journal", f"{read} since {moment(facts.since, facts.now)}"


def _counters(facts: Facts) -> str:
    counters = facts.state.counters
    if not counters:
        return "no nonce was issued yet"
    ahead = sorted((each for each in counters if each.lead > _AHEAD), key=lambda each: -each.lead)
    if not ahead:
        return f"{len(counters)}, none of them ahead of the clock"
    said = [f"{each.name} by {lasting(each.lead)} ({_reason(facts, each.name)})" for each in ahead[:_SHOWN]]
    more = f" and {len(ahead) - _SHOWN} more" if len(ahead) > _SHOWN else ""
    return f"{len(counters)}; ahead of the clock, which does no harm: {', '.join(said)}{more}"


def _reason(facts: Facts, counter: str) -> str:
    for event in reversed(facts.history.turning):
        if event.what in _REASONS and (counter in event.text or counter == f"key-{event.key}"):
            return f"{_REASONS[event.what]} at {moment(event.at, facts.now)}"
    return "by a reboot, a floor, an adoption or the clock, before the time that was looked at"


def as_json(facts: Facts, findings: list[Finding], notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the same for programs."""
    state = facts.state
    return {
        "verdict": verdict(findings, is_used=facts.is_used),
        "is_fine": all(finding.is_over for finding in findings),
        "findings": [finding._asdict() for finding in findings],
        "state": {
            **{name: getattr(state, name) for name in ("place", "why", "shared", "is_begun")},
            "details": dict(state.details),
            "counters": [each._asdict() for each in sorted(state.counters, key=lambda each: -each.lead)[:_SHOWN]],
            "number_of_counters": len(state.counters),
            "keys": len(state.keys),
            "held": [each._asdict() for each in state.held],
            "limits": [each._asdict() for each in state.limits if each.waiting or each.locked_out],
        },
        "processes": [
            {"pid": each.pid, "program": each.program, "states": list(each.states), "variables": list(each.variables)}
            for each in facts.processes
        ],
        "journal_lines": facts.history.lines,
        "since": facts.since,
        "online": list(notes),
        "not_known": [*state.not_known, *facts.not_known],
    }
