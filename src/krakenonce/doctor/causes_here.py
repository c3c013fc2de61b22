"""What is wrong with this machine: the state, the clock, lanes that are not released. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.doctor.facts import Finding
from krakenonce.doctor.words import GOES_ON, PASSED, is_going_on, lasting, seen, some, whose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.doctor.facts import Facts, HeldLane


_LONG = 60.0  # seconds: no call takes so long, for clients have a timeout of 30 s


def state(facts: Facts) -> Iterator[Finding]:
    """Yield why the state cannot be used."""
    for wrong in facts.state.wrong:
        yield Finding(
            "state",
            wrong,
            "sure",
            (f"the state is {facts.state.place}: {facts.state.why}",),
            ("see docs/how-to/troubleshoot.md, NonceStoreError, for what to do", "krakenonce state check"),
        )


def another_state(facts: Facts) -> Iterator[Finding]:
    """Yield that the running programs use another state than the usual one, which is empty and nobody has named."""
    used = [each for each in facts.processes if each.lanes]
    if facts.state.is_named or facts.is_used or not used:
        return
    places = sorted({place for each in used for place in each.lanes})
    yield Finding(
        "another_state",
        "no program has used this state yet; the running ones use another one",
        "sure",
        (
            f"this state is {facts.state.place}: {facts.state.why}",
            *(f"{each} uses {each.places}" for each in used[:5]),
        ),
        tuple(f"krakenonce doctor --state {place}" for place in places[:3]),
    )


def lanes(facts: Facts) -> Iterator[Finding]:
    """Yield the lanes whose holder does not come to an end, and the turns that did not come in time."""
    stuck = {each.key: each for each in facts.state.held if each.is_stopped or (each.seconds or 0.0) >= _LONG}
    groups = {group.key: group for group in facts.history.of("no_turn", "slow_turn")}
    for key in sorted(stuck.keys() | groups.keys()):
        lane, group = stuck.get(key), groups.get(key)
        evidence = [_held(lane)] if lane is not None else []
        if group is not None:
            evidence += seen(facts, group, "a turn came late or not at all")
            evidence += list(group.texts)[:2]
        yield Finding(
            "lane_held",
            f"the lane of {whose(key, group.account if group is not None else '')} "
            + ("is not released" if lane is not None else "was held for long"),
            "sure",
            tuple(evidence),
            (
                "if that process is stopped, continue it: kill -CONT PID; or end it, and the kernel frees the lane",
                "if it hangs in a call, give its client a timeout",
            ),
            key,
            group.account if group is not None else "",
            is_over=lane is None and (group is None or facts.now - group.last > GOES_ON),
        )


def _held(lane: HeldLane) -> str:
    stopped = "; that process is stopped" if lane.is_stopped else ""
    waits = f"; {some(lane.waiting, 'call')} of other processes wait" if lane.waiting else ""
    return f"now: {lane.holder}{stopped}{waits}"


def clock(facts: Facts) -> Iterator[Finding]:
    """Yield that this machine's clock was set."""
    for group in facts.history.of("clock_step"):
        back = sum(count for text, count in group.texts.items() if "stepped back" in text)
        how = "was set back" if back else "jumped"
        yield Finding(
            "clock_stepped",
            f"this machine's clock {how}; nonces went on rising, so that is no reason of an Invalid nonce by itself",
            "sure",
            (*list(group.texts)[:3], *seen(facts, group, "a step was seen")),
            (
                "let NTP set the clock, and nothing else: timedatectl status",
                "compare it with Kraken's: krakenonce doctor --online",
            ),
            is_over=not is_going_on(facts, group) and facts.now - group.last > PASSED,
        )


def recovered(facts: Facts) -> Iterator[Finding]:
    """Yield that files of the state were missing or damaged."""
    for group in facts.history.of("recovered"):
        age = facts.now - group.last
        yield Finding(
            "recovered",
            "files of the state were missing or damaged; nonces went on above the high-water mark",
            "sure",
            (*list(group.texts)[:3], *seen(facts, group, "that was found")),
            (
                f"no nonce was issued twice; the last time was {lasting(age)} ago",
                "look for a program that deletes or restores files there, and at the disk: dmesg",
            ),
            is_over=age > PASSED,
        )
