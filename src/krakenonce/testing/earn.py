"""Earn: a few strategies, and what accounts have in them.

An allocation moves the amount to the asset of the strategy, such as ``XBT.B``, at once. It stays pending for a second,
as Kraken tells the outcome only afterwards; an error of a request is in the status that is asked for next.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import is_on, listed, page_cursor, page_start, positive
from krakenonce.testing.holdings import Allocation
from krakenonce.testing.ids import new_id
from krakenonce.testing.markets import ASSETS, amount_text, find_asset
from krakenonce.testing.queries import in_dollars
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.private import Call


PENDING = 1.0  # seconds that a request takes
_WEEK = 604800
_BONDED = {
    "bonding_period": 0,
    "bonding_period_variable": False,
    "bonding_rewards": False,
    "exit_queue_period": 0,
    "payout_frequency": _WEEK,
    "unbonding_period": 2419200,
    "unbonding_period_variable": False,
    "unbonding_rewards": False,
}


@dataclass(frozen=True, slots=True)
class _Strategy:
    """One strategy.

    Args:
        id: Its id.
        asset: What is put into it.
        held_as: The asset that an account then has; empty if nobody can put anything into it.
        lock: Its lock type, as Strategies shows it.
        source: Where the yield comes from.
        rates: The lowest and the highest estimate, in percent of a year.
    """

    id: str
    asset: str
    held_as: str
    lock: dict[str, Any]
    source: str
    rates: tuple[str, str]

    minimum = Decimal("0.01")  # in dollars

    def described(self) -> dict[str, Any]:
        """Return it as Strategies shows it."""
        return {
            "id": self.id,
            "asset": ASSETS[self.asset].altname,
            "lock_type": self.lock,
            "apr_estimate": {"low": self.rates[0], "high": self.rates[1]},
            "user_min_allocation": str(self.minimum),
            "allocation_fee": "0.0000",
            "deallocation_fee": "0.0000",
            "auto_compound": {"type": "enabled"},
            "yield_source": {"type": self.source},
            "can_allocate": bool(self.held_as),
            "can_deallocate": bool(self.held_as),
            "allocation_restriction_info": [] if self.held_as or self.lock["type"] == "flex" else ["tier"],
        }


_INSTANT = {"type": "instant", "payout_frequency": _WEEK}
# The ids of those for DOT are in the examples of Kraken's specification.
_STRATEGIES = {
    each.id: each
    for each in (
        _Strategy("ESXBTFA-KEKRA-KENXBT", "XXBT", "XBT.B", _INSTANT, "off_chain", ("0.1000", "1.0000")),
        _Strategy("ESRFUO3-Q62XD-WIOIL7", "DOT", "DOT.B", _INSTANT, "staking", ("7.0000", "11.0000")),
        _Strategy("ESMWVX6-JAPVY-23L3CV", "DOT", "", {"type": "bonded", **_BONDED}, "staking", ("15.0000", "21.0000")),
        _Strategy("ESUSDFA-KEKRA-KENUSD", "ZUSD", "", {"type": "flex"}, "off_chain", ("1.0000", "2.0000")),
    )
}


def _request(call: Call, kind: str) -> bool:
    """Begin to put an amount in, or to take it out."""
    strategy = _strategy(call)
    if not strategy.held_as:
        raise Refused("EEarnings:Permission denied:The user's tier is not high enough")
    amount = positive(call.params, "amount")
    if amount * in_dollars(call, strategy.asset) < strategy.minimum:
        raise Refused("EEarnings:Below min:(De)allocation operation amount less than minimum")
    there = call.account.holdings.allocations.setdefault(strategy.id, Allocation())
    if any(call.now < at + PENDING for at in there.requested.values()):
        raise Refused("EEarnings:Busy:Another (de)allocation for the same strategy is in progress")
    sign = 1 if kind == "Allocate" else -1
    there.requested[kind], there.last[kind] = call.now, sign * amount
    there.failed.pop(kind, None)
    if not _has(call, strategy, there, kind, amount):
        there.failed[kind] = "EEarnings:Insufficient funds:Insufficient funds to complete the (de)allocation request"
        return True
    refid = new_id("E")
    call.account.enter("staking", refid, strategy.asset, -sign * amount, Decimal(0), call.now)
    call.account.enter("staking", refid, strategy.held_as, sign * amount, Decimal(0), call.now)
    there.amount += sign * amount
    return True


def _has(call: Call, strategy: _Strategy, there: Allocation, kind: str, amount: Decimal) -> bool:
    if kind == "Deallocate" and amount > there.amount:
        return False
    asset = strategy.held_as if kind == "Deallocate" else strategy.asset
    is_available = amount <= call.account.available(asset, call.engine.rules.held_fee)
    return is_available or not call.engine.has_to_pay(call.account)


def _status(call: Call, kind: str) -> dict[str, Any]:
    there = call.account.holdings.allocations.get(_strategy(call).id, Allocation())
    is_pending = kind in there.requested and call.now < there.requested[kind] + PENDING
    if kind in there.failed and not is_pending:
        raise Refused(there.failed[kind])
    return {"pending": is_pending}


def _strategies(call: Call) -> dict[str, Any]:
    wanted = find_asset(call.params["asset"]).name if "asset" in call.params else None
    locks = listed(call.params, "lock_type")
    found = [
        each.described()
        for each in _STRATEGIES.values()
        if wanted in (None, each.asset) and (not locks or each.lock["type"] in locks)
    ]
    items = found if is_on(call.params, "ascending") else found[::-1]
    start = page_start(call.params)
    end = start + int(call.params.get("limit", len(items)))
    return {"items": items[start:end], "next_cursor": page_cursor(end) if end < len(items) else None}


def _allocations(call: Call) -> dict[str, Any]:
    shown_in = find_asset(call.params.get("converted_asset", "USD"))

    def money(asset: str, amount: Decimal) -> dict[str, str]:
        worth = amount * in_dollars(call, asset) / in_dollars(call, shown_in.name)
        return {"native": amount_text(asset, amount), "converted": amount_text(shown_in.name, worth)}

    def shown(strategy: _Strategy, there: Allocation) -> dict[str, Any]:
        amounts = {"total": money(strategy.asset, there.amount)}
        for kind, at in there.requested.items():
            if call.now < at + PENDING and kind not in there.failed:
                amounts["pending"] = money(strategy.asset, there.last[kind])
        return {
            "strategy_id": strategy.id,
            "native_asset": ASSETS[strategy.asset].altname,
            "amount_allocated": amounts,
            "total_rewarded": money(strategy.asset, Decimal(0)),
        }

    there = call.account.holdings.allocations
    hides = is_on(call.params, "hide_zero_allocations")
    items = [shown(_STRATEGIES[name], each) for name, each in there.items() if each.amount or not hides]
    total = sum((Decimal(item["amount_allocated"]["total"]["converted"]) for item in items), Decimal(0))
    return {
        "converted_asset": shown_in.altname,
        "items": items if is_on(call.params, "ascending") else items[::-1],
        "total_allocated": amount_text(shown_in.name, total),
        "total_rewarded": amount_text(shown_in.name, Decimal(0)),
    }


def _strategy(call: Call) -> _Strategy:
    found = _STRATEGIES.get(call.params["strategy_id"])
    if found is None:
        raise Refused("EGeneral:Invalid arguments:Invalid strategy ID")
    return found


EARN: dict[str, Callable[[Call], Any]] = {
    "Earn/Allocate": lambda call: _request(call, "Allocate"),
    "Earn/AllocateStatus": lambda call: _status(call, "Allocate"),
    "Earn/Allocations": _allocations,
    "Earn/Deallocate": lambda call: _request(call, "Deallocate"),
    "Earn/DeallocateStatus": lambda call: _status(call, "Deallocate"),
    "Earn/Strategies": _strategies,
}
