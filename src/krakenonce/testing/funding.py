"""Deposits, withdrawals and transfers, in a simple form: there are no deposits, and a withdrawal stays pending."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import is_on, page_cursor, page_start, positive, required, whole
from krakenonce.testing.ids import new_id
from krakenonce.testing.markets import ASSETS, Asset, amount_text
from krakenonce.testing.request import Refused
from krakenonce.testing.ways import WAYS, address_of, addresses, asset_of, filter_asset, has_class, way_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.private import Call


_MOST_ADDRESSES = 5


def _deposit_methods(call: Call, asset: Asset) -> list[dict[str, Any]]:
    if not has_class(call, asset):
        return []
    way = way_of(asset)
    return [
        {
            "method": way.method,
            "limit": False,
            "fee": amount_text(asset.name, Decimal(0)),
            "gen-address": True,
            "minimum": amount_text(asset.name, way.minimum),
        }
    ]


def _deposit_addresses(call: Call, asset: Asset) -> list[dict[str, Any]]:
    """Return the addresses of an asset; the first one is made when it is asked for."""
    if required(call.params, "method") != way_of(asset).method:
        raise Refused("EFunding:No funding method")
    there = call.account.holdings.deposit_addresses.setdefault(asset.name, [])
    if is_on(call.params, "new") or not there:
        if len(there) == _MOST_ADDRESSES:
            raise Refused("EFunding:Too many addresses")
        text = f"{call.account.key} {asset.name} {len(there)}"
        there.append(hashlib.sha256(text.encode()).hexdigest()[:34])
    return [{"address": address, "expiretm": "0", "new": True} for address in reversed(there)]


def _deposit_status(call: Call) -> Any:
    filter_asset(call)
    return {"deposit": [], "next_cursor": None} if _is_paged(call) else []  # nothing ever comes in


def _withdraw_methods(call: Call) -> list[dict[str, Any]]:
    wanted = filter_asset(call)
    return [
        {
            "asset": name,
            "method": way.method,
            "network": way.method,
            "minimum": amount_text(name, way.minimum),
            "fee": {"aclass": ASSETS[name].aclass, "asset": name, "fee": amount_text(name, way.fee)},
        }
        for name, way in WAYS.items()
        if wanted in (None, name) and has_class(call, ASSETS[name]) and call.params.get("network") in (None, way.method)
    ]


def _withdraw_addresses(call: Call) -> list[dict[str, Any]]:
    wanted, params = filter_asset(call), call.params
    if "verified" in params and not is_on(params, "verified"):
        return []  # all are verified
    return [
        {
            "address": each.address,
            "asset": each.asset,
            "method": WAYS[each.asset].method,
            "key": each.key,
            "verified": True,
        }
        for each in addresses(call.account)
        if wanted in (None, each.asset)
        and has_class(call, ASSETS[each.asset])
        and params.get("method") in (None, WAYS[each.asset].method)
        and params.get("key") in (None, each.key)
    ]


def _withdraw_info(call: Call, asset: Asset) -> dict[str, Any]:
    address_of(call, asset)
    way, amount = way_of(asset), positive(call.params, "amount")
    return {
        "method": way.method,
        "limit": amount_text(asset.name, max(Decimal(0), _available(call, asset) - way.fee)),
        "amount": amount_text(asset.name, max(Decimal(0), amount - way.fee)),
        "fee": amount_text(asset.name, way.fee),
    }


def _withdraw(call: Call, asset: Asset) -> dict[str, Any]:
    """Take an amount from the balance; the fee is a part of it."""
    there, way = address_of(call, asset), way_of(asset)
    if call.params.get("address") not in (None, there.address):
        raise Refused("EFunding:Invalid withdrawal address")
    amount = _affordable(call, asset)
    if amount < way.minimum:
        raise Refused("EFunding:Invalid amount")
    if "max_fee" in call.params and way.fee > Decimal(call.params["max_fee"]):
        raise Refused("EFunding:Max fee exceeded")
    refid, sent = new_id("F"), amount - way.fee
    call.account.enter("withdrawal", refid, asset.name, -sent, way.fee, call.now)
    call.account.withdrawals[refid] = {
        "method": way.method,
        "network": way.method,
        "aclass": asset.aclass,
        "asset": asset.name,
        "refid": refid,
        "txid": "",
        "info": there.address,
        "amount": amount_text(asset.name, sent),
        "fee": amount_text(asset.name, way.fee),
        "time": int(call.now),
        "status": "Pending",
        "key": there.key,
    }
    return {"refid": refid}


def _withdraw_status(call: Call) -> Any:
    wanted, params = filter_asset(call), call.params
    start, end = float(params.get("start", 0)), float(params.get("end", "inf"))
    found = [
        dict(each)
        for each in reversed(call.account.withdrawals.values())
        if wanted in (None, each["asset"])
        and params.get("method") in (None, each["method"])
        and params.get("aclass", each["aclass"]) in (each["aclass"], "forex")
        and start <= each["time"] <= end
    ]
    limit = whole(params, "limit", 500)
    if not _is_paged(call):
        return found[:limit]
    offset = page_start(call.params)
    more = len(found) > offset + limit
    return {"withdrawals": found[offset : offset + limit], "next_cursor": page_cursor(offset + limit) if more else None}


def _withdraw_cancel(call: Call, asset: Asset) -> bool:
    found = call.account.withdrawals.get(required(call.params, "refid"))
    if found is None or found["asset"] != asset.name or found["status"] != "Pending":
        raise Refused("EFunding:Unknown reference id")
    found["status"], found["status-prop"] = "Failure", "canceled"
    amount = Decimal(found["amount"]) + Decimal(found["fee"])
    call.account.enter("withdrawal", found["refid"], found["asset"], amount, Decimal(0), call.now)
    return True


def _wallet_transfer(call: Call, asset: Asset) -> dict[str, Any]:
    refid = new_id("B")
    call.account.enter("transfer", refid, asset.name, -_affordable(call, asset), Decimal(0), call.now)
    return {"refid": refid}


def _denied(_: Call) -> Any:
    """Kraken denies subaccounts to whoever is no institutional client."""
    raise Refused("EGeneral:Permission denied")


def _available(call: Call, asset: Asset) -> Decimal:
    if not call.engine.has_to_pay(call.account):
        return Decimal(1_000_000)
    return call.account.available(asset.name, call.engine.rules.held_fee)


def _affordable(call: Call, asset: Asset) -> Decimal:
    amount = positive(call.params, "amount")
    if call.engine.has_to_pay(call.account) and amount > _available(call, asset):
        raise Refused("EFunding:Invalid amount")
    return amount


def _is_paged(call: Call) -> bool:
    return str(call.params.get("cursor", "false")).lower() not in ("false", "0")


def _of_asset(method: Callable[[Call, Asset], Any]) -> Callable[[Call], Any]:
    """Return a method that gets the asset of its call, too."""
    return lambda call: method(call, asset_of(call))


FUNDING: dict[str, Callable[[Call], Any]] = {
    "AccountTransfer": _denied,
    "CreateSubaccount": _denied,
    "DepositAddresses": _of_asset(_deposit_addresses),
    "DepositMethods": _of_asset(_deposit_methods),
    "DepositStatus": _deposit_status,
    "WalletTransfer": _of_asset(_wallet_transfer),
    "Withdraw": _of_asset(_withdraw),
    "WithdrawAddresses": _withdraw_addresses,
    "WithdrawCancel": _of_asset(_withdraw_cancel),
    "WithdrawInfo": _of_asset(_withdraw_info),
    "WithdrawMethods": _withdraw_methods,
    "WithdrawStatus": _withdraw_status,
}
