"""How findings say when, how often and by whom. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from krakenonce.journal.aggregate import FIRST

if TYPE_CHECKING:
    from krakenonce.doctor.facts import Facts
    from krakenonce.doctor.history import Group
    from krakenonce.doctor.rows import Process
    from krakenonce.journal.event import Event


GOES_ON = 600.0  # seconds since the last event for which it may still be going on
PASSED = 3600.0  # seconds without an event after which something that passes is over
_NAMED = 4  # processes of a kind
_BEFORE = 600.0  # seconds before the first event in which something may have changed
_DAY = 86_400.0


def moment(at: float, now: float) -> str:
    """Return a time of today as hours and minutes, an earlier one with its date; local time."""
    form = "%H:%M:%S" if abs(now - at) < _DAY / 2 else "%Y-%m-%d %H:%M"
    return f"{datetime.fromtimestamp(at).astimezone():{form}}"


def lasting(seconds: float) -> str:
    """Return a length of time in words."""
    for unit, name in ((_DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= unit:
            return some(int(seconds // unit), name)
    return some(max(0, int(seconds)), "second")


def some(count: int, what: str) -> str:
    """Return a number of things."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def whose(key: str, account: str) -> str:
    """Return the name of a key for people."""
    return " ".join(each for each in ("key", key, f"of {account}" if account else "") if each)


def is_alive(facts: Facts, who: Process) -> bool | None:
    """Whether a process of the journal still runs; None: it is one of another host."""
    host, pid, _ = who
    return None if host != facts.host else (host, pid) in facts.alive


def process(facts: Facts, who: Process) -> str:
    """Return the name of a process, and whether it still runs."""
    host, pid, program = who
    runs = {True: "still runs", False: "has ended", None: f"on {host}"}[is_alive(facts, who)]
    return f"{program or 'process'} {pid} ({runs})"


def seen(facts: Facts, group: Group, what: str) -> tuple[str, ...]:
    """Return how often something has happened, when, with which methods, by whom, and whether it goes on."""
    least = "at least " if _may_be_more(facts, group) else ""
    lines = [f"{what} {least}{some(group.count, 'time')}, from {moment(group.first, facts.now)} on"]
    if group.methods:
        lines[0] += f" ({', '.join(name for name, _ in group.methods.most_common(_NAMED))})"
    lines.append(f"by {_by(facts, group)}")
    lines.append(going_on(facts, group))
    return tuple(lines)


def _may_be_more(facts: Facts, group: Group) -> bool:
    """Whether a process that runs may have counted more, which it writes down later."""
    return any(count >= FIRST and is_alive(facts, who) is not False for who, count in group.by.items())


def going_on(facts: Facts, group: Group) -> str:
    """Return whether it is still going on."""
    age, last = max(0.0, facts.now - group.last), group.last_process
    when = f"the last time was {lasting(age)} ago"
    if age > GOES_ON:
        return f"{when}: it has stopped"
    if is_alive(facts, last) is False:
        return f"{when}, and that process has ended"
    return f"{when}: it may still be going on"


def is_going_on(facts: Facts, group: Group) -> bool:
    """Whether it may still be going on."""
    last = group.last_process
    return facts.now - group.last <= GOES_ON and is_alive(facts, last) is not False


def _by(facts: Facts, group: Group) -> str:
    named = [f"{process(facts, who)} {some(count, 'time')}" for who, count in group.by.most_common(_NAMED)]
    more = len(group.by) - len(named)
    return ", ".join(named) + (f", and {more} other {'process' if more == 1 else 'processes'}" if more > 0 else "")


def before(facts: Facts, group: Group) -> tuple[str, ...]:
    """Return what had changed shortly before the first event: what the journal shows, and which processes began."""
    own = {pid for _, pid, _ in group.by}
    events = [(event.at, described(event)) for event in facts.history.turning if event.key in ("", group.key)]
    began = [(each.begun, f"{each} began") for each in facts.processes if each.pid not in own]
    return tuple(
        f"shortly before, at {moment(at, facts.now)}: {said}"
        for at, said in sorted((*events, *began))
        if 0.0 <= group.first - at <= _BEFORE
    )[-3:]


def described(event: Event) -> str:
    """Return what a turning point was."""
    names = {
        "clock_step": "the clock was set",
        "recovered": "the state was damaged or missing",
        "floor_raised": "a floor was raised",
        "adopted": "the key was adopted",
    }
    said = f": {event.text}" if event.text else ""
    return f"{names.get(event.what, event.what)}{said} (by {event.program or 'process'} {event.pid})"
