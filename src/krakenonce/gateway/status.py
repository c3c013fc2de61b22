"""What the status page shows, as it is served as JSON: accounts, local keys, the last calls and the last hour."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from krakenonce.gateway.advice import what_to_do
from krakenonce.gateway.health import FINE, LIMITED, Health, health_in
from krakenonce.gateway.state_look import usable_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.state_look import KeyState, State


NO_CREDENTIALS = "no_credentials"
_CALLS = 100
_UNKNOWN = "a local key is for it, and there are no credentials of it"


def status_of(gateway: Gateway, activity: Activity, state: State, unusable: Mapping[str, str]) -> dict[str, Any]:
    """Return what the status page shows; no key and no secret is in it.

    Args:
        gateway: The gateway whose keys and queues are shown.
        activity: What it has counted.
        state: What the state says.
        unusable: The accounts whose credentials cannot be used, and why.

    Raises:
        ConfigError: The local keys cannot be used.
    """
    stats, now = state.counters["global"], time.monotonic()
    accounts = {name: each for name, each in gateway.accounts.copy().items() if name in state.accounts}
    local_keys = usable_in(state)
    wrong = dict(unusable)
    return {
        "now": time.time(),
        "started": activity.started,
        "stopping": gateway.stopping,
        "state_silent_seconds": state.silent,
        "lead_seconds": (stats.lead_ns or 0) / 1e9,
        "nonces_issued": stats.issued,
        "accounts": [
            _account(name, each, state, activity, wrong) | {"minutes": activity.history.seen_of(name, now)}
            for name, each in accounts.items()
        ],
        "unusable": _unusable(accounts, local_keys, wrong),
        "local_keys": [
            {"name": each.name, "account": each.account, "allow": sorted(each.allow)} for each in local_keys
        ],
        "answered": dict(activity.answered),
        "not_sent": dict(activity.not_sent),
        "unknown_outcomes": activity.unknown_outcomes,
        "refusals": [each._asdict() for each in activity.refusals.copy()],  # calls go on in another thread
        "calls": [{"at": each.time, **each._asdict()} for each in activity.recent[:_CALLS]],
        "history": activity.history.seen(now),
    }


def _account(
    name: str, account: KrakenAccount, state: State, activity: Activity, wrong: Mapping[str, str]
) -> dict[str, Any]:
    seen = state.accounts[name]
    health = health_in(account, seen, time.time())
    if health.state == FINE and name in wrong:
        health = Health(LIMITED, NO_CREDENTIALS)
    return {
        "account": name,
        "health": _in_words(name, health, wrong.get(name, "")),
        "key": seen.keys[0].name,
        "scope": seen.keys[0].scope,
        "keys": [_key(each) for each in seen.keys],
        "tier": account.account.tier,
        "turn_held_by": seen.turn,
        "waiting": len(account.queue),
        "counters": seen.rates,
        "locked_out_seconds": seen.locked_out,
        "answered": sum(activity.kraken[name].counts),
        "upstream_seconds": activity.kraken[name].total,
        "refused": dict(sum((each.refused for each in account.keys), Counter[str]())),
    }


def _unusable(
    served: Mapping[str, KrakenAccount], local_keys: list[LocalKey], wrong: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the accounts without a usable key: those with wrong credentials, and those that only a local key names."""
    why = {**dict.fromkeys((each.account for each in local_keys), _UNKNOWN), **wrong}
    return [
        {"account": name, "health": _in_words(name, Health(NO_CREDENTIALS, NO_CREDENTIALS), text)}
        for name, text in why.items()
        if name not in served
    ]


def _in_words(account: str, health: Health, why: str) -> dict[str, Any]:
    return {**health._asdict(), "words": health.words, "todo": what_to_do(account, health, why)}


def _key(key: KeyState) -> dict[str, Any]:
    out = [{"why": why, "seconds": seconds if math.isfinite(seconds) else None} for why, seconds in key.out]
    return {"key": key.name, "scope": key.scope, "locked_out_seconds": key.locked_out, "passed_over": out}
