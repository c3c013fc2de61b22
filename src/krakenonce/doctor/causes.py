"""Why Kraken refuses nonces: each function looks for one cause in the facts. No I/O.

What an Invalid nonce shows by itself: Kraken had accepted a nonce that is not smaller, and ours rise. The nonce before
it in the same process tells more. If that one was refused, too, nothing was accepted in between; if not, the key is
fine in general, and somebody was faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.doctor.facts import Finding
from krakenonce.doctor.units import NANOSECONDS, unit_of, units_between
from krakenonce.doctor.words import GOES_ON, before, lasting, moment, process, seen, some, whose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.doctor.facts import Facts
    from krakenonce.doctor.history import Group
    from krakenonce.doctor.rows import Refusals, Row
    from krakenonce.journal.event import Event


_IN_A_ROW = 8  # refusals without an accepted nonce between them: somebody who is faster by chance is it less often
_FEW, _LASTING = (
    3,
    2.0,
)  # so many are enough if they came within more seconds than these, as calls under Kraken's limits
_SINGLES = 2  # refusals of a process after an accepted nonce, after a refusal
_YEAR = 365 * 86_400.0  # seconds
_NEAR = 600.0  # seconds between a refusal and a use of another state
NONCE = "Kraken refused a nonce"


def refusals(facts: Facts) -> Iterator[Finding]:
    """Yield for each key with an Invalid nonce the one cause that fits, and what is wrong without one yet."""
    shared = {each.key: each for each in several_states(facts)}
    yield from shared.values()
    for group in facts.history.of("invalid_nonce"):
        twice = list(sent_twice(facts, group))
        yield from twice
        if group.key in shared or sum(event.key == group.key for event in facts.history.twice) >= group.count:
            continue
        for look in (own_nonces, turns_not_taken, poisoned, another_user, not_known):
            found = look(facts, group)
            if found is not None:
                yield found
                break


def several_states(facts: Facts) -> Iterator[Finding]:
    """Yield the keys that are used with several states: their nonces and turns know nothing of each other."""
    ours = facts.state.place
    for key, at in facts.state.keys.items():
        group = facts.history.get("invalid_nonce", key)
        users = [(place, each) for each in facts.processes for place, lanes in each.lanes.items() if key in lanes]
        used = {other.place: other.keys[key] for other in facts.others if key in other.keys}
        is_used_here = at >= facts.since or any(place == ours for place, _ in users)
        is_sure = is_used_here and any(place != ours for place, _ in users)
        places = (
            {place for place, _ in users}
            if is_sure
            else {place for place, last in used.items() if group is not None and _overlaps(group, last)}
        )
        if not places:
            continue
        lasts = {ours: at, **{place: used.get(place, 0.0) for place in sorted(places - {ours})}}
        evidence = [
            *(f"{each} uses {place} with this key now" for place, each in users),
            *(
                f"{place}: the key's last turn was at {moment(last, facts.now)}"
                for place, last in lasts.items()
                if last
            ),
        ]
        yield _several(facts, key, group, evidence, is_sure=is_sure)


def _several(facts: Facts, key: str, group: Group | None, evidence: list[str], *, is_sure: bool) -> Finding:
    account = group.account if group is not None else ""
    return Finding(
        "several_states",
        f"{whose(key, account)} is used with several states, which know nothing of each other's nonces and turns",
        "sure" if is_sure else "likely",
        (*evidence, *(seen(facts, group, NONCE) if group is not None else ())),
        (
            "give all programs that use this key the same state, and restart those that use another one",
            f"export KRAKENONCE_STATE_DIR={facts.state.place}",
        ),
        key,
        account,
    )


def _overlaps(group: Group, used: float) -> bool:
    return group.first - _NEAR <= used <= group.last + _NEAR


def sent_twice(facts: Facts, group: Group) -> Iterator[Finding]:
    """Yield that orders were placed although their nonce was refused: something has sent the request twice."""
    events = [event for event in facts.history.twice if event.key == group.key]
    if events:
        yield Finding(
            "sent_twice",
            f"something on the network sends requests of {whose(group.key, group.account)} twice: Kraken executed the "
            "first copy and refused the second",
            "sure",
            (
                *(f"{_order(event)} got Invalid nonce and was {event.text}" for event in events[-3:]),
                f"{some(len(events), 'such order')}, the last at {moment(events[-1].at, facts.now)}",
            ),
            (
                "nothing was placed twice; do not repeat these orders",
                "look for a proxy, a load balancer or an HTTP library that repeats requests, and switch that off",
            ),
            group.key,
            group.account,
        )


def _order(event: Event) -> str:
    return f"order {event.order} of {event.method}" if event.order else f"a call of {event.method}"


def own_nonces(facts: Facts, group: Group) -> Finding | None:
    """Return that a program sends nonces of its own, which are not from here, or count in a coarser unit."""
    refused = facts.history.refusals.get(group.key)
    rows = refused.rows.values() if refused is not None else ()
    coarse = [each for row in rows if (each := _coarse(row))]
    if not group.with_nonce:
        evidence = f"none of its {some(group.count, 'refused call')} had a nonce from this state"
    elif coarse:
        evidence = coarse[0]
    else:
        return None
    return Finding(
        "own_nonces",
        f"a program takes its turns here but makes the nonces of {whose(group.key, group.account)} itself",
        "likely",
        (evidence, *seen(facts, group, NONCE)),
        (
            "let its adapter take the nonce with turns.next(key): see docs/how-to/write-an-adapter.md",
            "or start it with: krakenonce run -- COMMAND",
        ),
        group.key,
        group.account,
    )


def _coarse(row: Row) -> str:
    """Return that a nonce counts in a coarser unit than ours; empty: it does not."""
    unit = unit_of(row.last.nonce, row.last.at)
    if unit is None or unit.at(row.last.at) >= NANOSECONDS.at(row.last.at):
        return ""
    return f"the refused nonce {row.last.nonce} counts {unit.name}; krakenonce counts nanoseconds"


def turns_not_taken(facts: Facts, group: Group) -> Finding | None:
    """Return that nonces are taken here, and sent without a turn: calls overtake each other."""
    if facts.state.shared != "host" or not facts.state.is_begun or facts.state.has_global:
        return None
    if group.key in facts.state.keys:
        return None
    return Finding(
        "turns_not_taken",
        f"calls of {whose(group.key, group.account)} overtake each other: a program takes nonces here, but no turns",
        "likely",
        ("no program has ever taken a turn of this key in this state", *seen(facts, group, NONCE)),
        (
            "hold the lane until the answer is in: `with manager.lane(key):`, in an adapter `with turns.lane(key):`",
            "or start the program with: krakenonce run -- COMMAND",
        ),
        group.key,
        group.account,
    )


def poisoned(facts: Facts, group: Group) -> Finding | None:
    """Return that Kraken has accepted a nonce which is far above ours: every call is refused."""
    refused = facts.history.refusals.get(group.key)
    row = refused.longest() if refused is not None else None
    if refused is None or row is None or _is_accepted_since(refused, row):
        return None
    adopted = [e for e in facts.history.turning if e.what == "adopted" and e.key == group.key and e.at >= row.last.at]
    is_over = bool(adopted) and adopted[-1].at >= group.last
    is_found = is_over and any(e.pid == adopted[-1].pid and e.nonce < adopted[-1].nonce for e in refused.asked)
    if not is_found and row.length < _IN_A_ROW and (row.length < _FEW or row.seconds < _LASTING):
        return None
    evidence = [_in_a_row(facts, row), *(_family(facts, group.key, adopted[-1]) if adopted else ())]
    adopt = f"krakenonce adopt --account {group.account or 'NAME'}"
    return Finding(
        "poisoned_key",
        f"another tool has used larger nonces with {whose(group.key, group.account)}, so Kraken "
        + ("refused every call until the key was adopted" if is_over else "refuses every call"),
        "sure" if adopted else "likely",
        (*evidence, *seen(facts, group, NONCE), *before(facts, group)),
        ("stop the other tool, or give it a key of its own",)
        if is_over
        else (
            "stop the bots that use this key: after too many refusals Kraken locks it out",
            "make a new API key at Kraken; the old one may be used by somebody you do not know of",
            f"or stop every other tool that uses it, and run: {adopt}",
        ),
        group.key,
        group.account,
        is_over,
    )


def _is_accepted_since(refused: Refusals, row: Row) -> bool:
    """Whether Kraken has accepted a nonce after those of a row."""
    return any(event.before > row.first.nonce for event in refused.between)


def _may_be_poisoned(refused: Refusals) -> bool:
    """Whether nothing that was seen was accepted after the refusals, which are too few to be sure."""
    row = refused.longest()
    is_row = row is not None and row.length >= _FEW and not _is_accepted_since(refused, row)
    return is_row or refused.from_the_beginning() > 1


def _if_poisoned(group: Group) -> str:
    """Return what to do if the key is poisoned: processes that end soon cannot show that nothing is accepted."""
    adopt = f"krakenonce adopt --account {group.account or 'NAME'}"
    return f"if no call succeeds any more, another tool has used larger nonces: stop every other tool, and run: {adopt}"


def _in_a_row(facts: Facts, row: Row) -> str:
    rose = (row.last.nonce - row.first.nonce) / 1e9
    return (
        f"{row.length} nonces of {process(facts, row.process)} were refused one after the other, though each was "
        f"larger, the last by {rose:.1f} s of nanoseconds"
    )


def _family(facts: Facts, key: str, adopted: Event) -> tuple[str, ...]:
    """Return how large the other tool's nonces are, by what the adoption has tried."""
    asked = [event.nonce for event in facts.history.refusals[key].asked if event.nonce < adopted.nonce]
    if not asked:
        return ()
    low, high = max(asked), adopted.nonce
    names = [f"{unit.name} ({unit.used_by})" for unit in units_between(low, high, adopted.at)]
    if low / 1e9 - adopted.at < _YEAR:
        names.append("nanoseconds by a clock that is ahead")
    return (f"the adoption found its nonces between {low} and {high}: {' or '.join(names) or 'a way of its own'}",)


def another_user(facts: Facts, group: Group) -> Finding | None:
    """Return that somebody else uses the key, with nonces near ours and without turns here."""
    refused = facts.history.refusals.get(group.key)
    if refused is None or refused.singles < _SINGLES:
        return None
    last = refused.between[-1]
    where = [
        f"{each} uses another state: {each.places}"
        for each in facts.processes
        if each.states and facts.state.place not in each.states
    ]
    return Finding(
        "another_user",
        f"another program uses {whose(group.key, group.account)} and takes no turns in this state",
        "likely",
        (
            f"{some(refused.singles, 'refusal')} came between calls that were not refused: another call was faster",
            f"the last one: nonce {last.nonce}, refused {last.seconds:.3f} s after it was taken",
            *seen(facts, group, NONCE),
            *before(facts, group),
            *where[:5],
        ),
        (
            "look for it here and on other hosts: a tracker, a tax tool, an old bot, an unguarded client of a bot",
            "start it with `krakenonce run -- COMMAND` and the same KRAKENONCE_STATE_DIR, or give it a key of its own",
            "if there is none: something on the network sends requests twice",
        ),
        group.key,
        group.account,
    )


def not_known(facts: Facts, group: Group) -> Finding | None:
    """Return that nonces were refused, and the facts do not say why."""
    age = facts.now - group.last
    refused = facts.history.refusals.get(group.key)
    at_once = refused.at_once() if refused is not None else 0
    return Finding(
        "not_known",
        f"Kraken refused {some(group.count, 'nonce')} of {whose(group.key, group.account)}, and it is not known why",
        "not known",
        (
            *((f"{at_once} processes got Invalid nonce for their first two nonces",) if at_once > 1 else ()),
            *seen(facts, group, NONCE),
            *before(facts, group),
        ),
        (
            _if_poisoned(group)
            if refused is not None and _may_be_poisoned(refused)
            else f"a single one after a crash or a killed process does no harm; the last was {lasting(age)} ago"
            if group.count == 1
            else "see whether it goes on: krakenonce log --follow",
            f"collect: krakenonce log --since 1d --account {group.key or 'NAME'} --json",
            "ask who else has this key; run krakenonce doctor on each host that does",
        ),
        group.key,
        group.account,
        is_over=group.count == 1 and age > GOES_ON,
    )
