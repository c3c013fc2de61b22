"""Why calls were refused, held back or not answered, nonces aside: each function looks for one cause. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.doctor.facts import Finding
from krakenonce.doctor.words import PASSED, before, lasting, moment, seen, some, whose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.doctor.facts import Facts, Limit
    from krakenonce.doctor.history import Group


_FAULT = "a fault at Kraken"  # as the journal says it of an unknown outcome
_LOCKOUT = 900.0  # seconds before a lockout in which its cause is looked for
_COUNTED = {
    "invalid_nonce": "Invalid nonce",
    "invalid_key": "Invalid key",
    "invalid_signature": "Invalid signature",
    "permission": "Permission denied",
}
_UNTOLD = 120.0  # seconds: for a minute a process may count refusals and write none
_FULL = 14.0  # of the 15 that Kraken's lowest tier allows


def lockouts(facts: Facts) -> Iterator[Finding]:
    """Yield the keys that Kraken has locked out, and which refusals came before."""
    now = {each.key: each for each in facts.state.limits if each.locked_out > 0}
    groups = {group.key: group for group in facts.history.of("locked_out")}
    for key in sorted(now.keys() | groups.keys()):
        yield _lockout(facts, key, groups.get(key), now.get(key))


def _lockout(facts: Facts, key: str, group: Group | None, limit: Limit | None) -> Finding:
    account = group.account if group is not None else ""
    causes = _before_lockout(facts, key, group)
    until = f"until {moment(facts.now + limit.locked_out, facts.now)}" if limit is not None else ""
    named = whose(key, account)
    evidence = [f"the state says so, {until}: nothing is sent for another {lasting(limit.locked_out)}"] if limit else []
    if group is not None:
        evidence += seen(facts, group, "Kraken answered Temporary lockout")
    evidence += [f"before it: {cause}" for cause in causes]
    if not causes:
        evidence.append(
            "the journal of this state shows no refusal before it: look in that of other programs and hosts"
        )
    return Finding(
        "locked_out",
        f"Kraken has locked out {named} {until}" if limit else f"Kraken had locked out {named}, and that is over",
        "sure",
        tuple(evidence),
        (
            "mend the cause first: a lockout is what follows from too many refusals",
            f"send nothing with this key until then, also by other programs {until}".rstrip(),
        ),
        key,
        account,
        is_over=limit is None,
    )


def _before_lockout(facts: Facts, key: str, group: Group | None) -> list[str]:
    found = []
    for what, name in _COUNTED.items():
        each = facts.history.get(what, key)
        if each is not None and (group is None or (each.first <= group.first and each.last >= group.first - _LOCKOUT)):
            found.append(f"{name} {some(each.count, 'time')}, from {moment(each.first, facts.now)} on")
    return found


_KEYS = {
    "invalid_key": (
        "Kraken does not know {}",
        (
            "was it deleted, has it expired, or was a part of it not copied? See it at Kraken, under Settings, API",
            "is it bound to an IP address, and this host has another one? See docs/reference/cli.md, Through a proxy",
        ),
    ),
    "invalid_signature": (
        "Kraken refuses the signature of {}",
        (
            "if all calls fail, the secret belongs to another key: copy both again",
            "if only some fail, the client signs other bytes than it sends: pass text, not True, None or lists",
            "if the key has a second factor: is its code right?",
        ),
    ),
    "permission": (
        "{} lacks a permission",
        (
            "give it the permission for these methods at Kraken, or do not call them",
            "krakenonce doctor --online shows which ones it has",
        ),
    ),
}


def keys(facts: Facts) -> Iterator[Finding]:
    """Yield the keys, secrets and permissions that Kraken refuses."""
    for what, (says, do) in _KEYS.items():
        for group in facts.history.of(what):
            text = ", ".join(text for text, _ in group.texts.most_common(2))
            yield Finding(
                what,
                says.format(whose(group.key, group.account)),
                "sure",
                (*seen(facts, group, f"Kraken answered {text or what}"), *before(facts, group), *_later(facts, group)),
                do,
                group.key,
                group.account,
            )


def _later(facts: Facts, group: Group) -> tuple[str, ...]:
    """Return that the key had turns since then, and nothing was refused: it may be mended, for one program at least."""
    turn = facts.state.keys.get(group.key, 0.0)
    is_last = all(each.last <= group.last for each in facts.history.groups.values() if each.key == group.key)
    if group.what == "permission" or turn - group.last < _UNTOLD or not is_last:
        return ()
    return (f"a later turn of this key, at {moment(turn, facts.now)}, had no such answer: it may be mended by now",)


def rate_limits(facts: Facts) -> Iterator[Finding]:
    """Yield the keys whose calls are too many."""
    for group in facts.history.of("rate_limit"):
        yield Finding(
            "rate_limit",
            f"Kraken refused calls of {whose(group.key, group.account)}, because there were too many",
            "sure",
            (*seen(facts, group, "Kraken refused a call"), *_full(facts, group.key)),
            (
                "let all programs of the key count their calls here: our clients and the gateway do, guarded ones not",
                "name the account's tier with the credentials if it is not starter; or make fewer calls",
            ),
            group.key,
            group.account,
            is_over=facts.now - group.last > PASSED,
        )
    for group in facts.history.of("over_limit"):
        yield Finding(
            "over_limit",
            f"calls of {whose(group.key, group.account)} were not sent: the rate limit did not allow them in time",
            "sure",
            (*seen(facts, group, "a call was held back"), *_full(facts, group.key)),
            ("let them wait longer (max_wait), make fewer calls, or name the account's tier if it is not starter",),
            group.key,
            group.account,
            is_over=facts.now - group.last > PASSED,
        )


def _full(facts: Facts, key: str) -> tuple[str, ...]:
    return tuple(
        f"now: its REST counter is at {each.level:.1f} of 15, 20 in higher tiers; {some(each.waiting, 'call')} wait"
        for each in facts.state.limits
        if each.key == key and (each.level >= _FULL or each.waiting)
    )


def network(facts: Facts) -> Iterator[Finding]:
    """Yield what Kraken or the network is to blame for: answers that did not come, faults at Kraken, blocks."""
    for group in facts.history.of("unknown"):
        lost = [event for (key, _), event in facts.history.open.items() if key == group.key]
        faults = group.texts[_FAULT]
        at_kraken = faults * 2 > group.texts.total() if group.texts else False
        yield Finding(
            "kraken_fault" if at_kraken else "no_answer",
            f"calls of {whose(group.key, group.account)} got no answer that says whether they were executed"
            + (": Kraken had a fault" if at_kraken else ": the connection failed, or Kraken did not answer in time"),
            "sure" if at_kraken else "likely",
            (*seen(facts, group, "an outcome was unknown"), *(_lost(facts, each.order, each.at) for each in lost[-3:])),
            (
                *(("look for these orders in OpenOrders and ClosedOrders before you repeat them",) if lost else ()),
                "see https://status.kraken.com, and whether this host reaches https://api.kraken.com/0/public/Time",
            ),
            group.key,
            group.account,
            is_over=not lost and facts.now - group.last > PASSED,
        )
    yield from _unavailable(facts)
    for group in facts.history.of("blocked"):
        yield Finding(
            "blocked",
            "something in front of Kraken refuses this host: a CDN, a firewall or a proxy",
            "sure",
            seen(facts, group, "a call was blocked"),
            (
                "nothing was executed; stop for some minutes",
                "open https://api.kraken.com/0/public/Time from this host; leave the VPN or the cloud's shared address",
            ),
            group.key,
            group.account,
            is_over=facts.now - group.last > PASSED,
        )


def _lost(facts: Facts, order: str, at: float) -> str:
    return f"whether order {order}, sent at {moment(at, facts.now)}, was placed is not known"


def _unavailable(facts: Facts) -> Iterator[Finding]:
    for group in facts.history.of("refused"):
        texts = {
            text: count for text, count in group.texts.items() if text.startswith(("EService:", "EGeneral:Internal"))
        }
        if texts:
            yield Finding(
                "kraken_unavailable",
                "Kraken itself was not available",
                "sure",
                (
                    *(f"{text} {some(count, 'time')}" for text, count in texts.items()),
                    *seen(facts, group, "Kraken refused a call"),
                ),
                ("wait; see https://status.kraken.com",),
                group.key,
                group.account,
                is_over=facts.now - group.last > PASSED,
            )


def odd_refusals(facts: Facts) -> Iterator[Finding]:
    """Yield other refusals as they are: of orders, funds and so on. They say themselves what is wrong."""
    for group in facts.history.of("refused"):
        texts = [text for text in group.texts if not text.startswith(("EService:", "EGeneral:Internal"))]
        if texts:
            yield Finding(
                "refused",
                f"Kraken refused calls of {whose(group.key, group.account)} for their content: {', '.join(texts[:3])}",
                "sure",
                seen(facts, group, "Kraken refused a call"),
                ("see docs/reference/errors.md for what Kraken's words mean",),
                group.key,
                group.account,
                is_over=True,
            )
