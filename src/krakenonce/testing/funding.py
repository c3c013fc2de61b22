"""Deposits, withdrawals and transfers, in a simple form: there are no deposits, and a withdrawal stays pending."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import positive, required
from krakenonce.testing.ids import new_id
from krakenonce.testing.markets import Asset, amount_text, find_asset
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.private import Call


_METHODS = {"XXBT": "Bitcoin", "XETH": "Ether", "USDT": "Tether USD (ERC20)", "SOL": "Solana"}


def _deposit_methods(_: Call, asset: Asset) -> list[dict[str, Any]]:
    return [{"method": _method(asset), "limit": False, "fee": amount_text(asset.name, Decimal(0)), "gen-address": True}]


def _deposit_addresses(call: Call, asset: Asset) -> list[dict[str, Any]]:
    address = hashlib.sha256(f"{call.account.key} {asset.name}".encode()).hexdigest()[:34]
    return [{"address": address, "expiretm": "0", "new": True}]


def _withdraw_methods(_: Call, asset: Asset) -> list[dict[str, Any]]:
    return [{"asset": asset.name, "method": _method(asset), "network": _method(asset), "minimum": "0.0001"}]


def _withdraw_addresses(_: Call, asset: Asset) -> list[dict[str, Any]]:
    return [
        {"address": "fake-address", "asset": asset.name, "method": _method(asset), "key": "fake-key", "verified": True}
    ]


def _withdraw_info(call: Call, asset: Asset) -> dict[str, Any]:
    required(call.params, "key")
    amount = positive(call.params, "amount")
    return {
        "method": _method(asset),
        "limit": "1000000",
        "amount": amount_text(asset.name, amount),
        "fee": amount_text(asset.name, Decimal(0)),
    }


def _withdraw(call: Call, asset: Asset) -> dict[str, Any]:
    required(call.params, "key")
    amount = _affordable(call, asset)
    refid = new_id("F")
    call.account.enter("withdrawal", refid, asset.name, -amount, Decimal(0), call.now)
    call.account.withdrawals[refid] = {
        "method": _method(asset),
        "aclass": "currency",
        "asset": asset.name,
        "refid": refid,
        "txid": "",
        "info": "fake-address",
        "amount": amount_text(asset.name, amount),
        "fee": amount_text(asset.name, Decimal(0)),
        "time": int(call.now),
        "status": "Pending",
        "key": call.params["key"],
    }
    return {"refid": refid}


def _withdraw_status(call: Call) -> list[dict[str, Any]]:
    wanted = _asset(call).name if call.params.get("asset") else None
    found = [each for each in call.account.withdrawals.values() if wanted in (None, each["asset"])]
    return [dict(each) for each in reversed(found)]


def _withdraw_cancel(call: Call) -> bool:
    found = call.account.withdrawals.get(required(call.params, "refid"))
    if found is None or found["status"] != "Pending":
        raise Refused("EFunding:Unknown reference id")
    found["status"] = "Canceled"
    call.account.enter("withdrawal", found["refid"], found["asset"], Decimal(found["amount"]), Decimal(0), call.now)
    return True


def _wallet_transfer(call: Call, asset: Asset) -> dict[str, Any]:
    required(call.params, "from")
    required(call.params, "to")
    refid = new_id("B")
    call.account.enter("transfer", refid, asset.name, -_affordable(call, asset), Decimal(0), call.now)
    return {"refid": refid}


def _asset(call: Call) -> Asset:
    return find_asset(required(call.params, "asset"), "EFunding:Unknown asset")


def _method(asset: Asset) -> str:
    return _METHODS.get(asset.name, "Bank Transfer")


def _affordable(call: Call, asset: Asset) -> Decimal:
    amount = positive(call.params, "amount")
    if call.engine.has_to_pay(call.account) and amount > call.account.available(
        asset.name, call.engine.rules.taker_fee
    ):
        raise Refused("EFunding:Invalid amount")
    return amount


def _of_asset(method: Callable[[Call, Asset], Any]) -> Callable[[Call], Any]:
    """Return a method that gets the asset of its call, too."""
    return lambda call: method(call, _asset(call))


FUNDING: dict[str, Callable[[Call], Any]] = {
    "DepositAddresses": _of_asset(_deposit_addresses),
    "DepositMethods": _of_asset(_deposit_methods),
    "DepositStatus": lambda _: [],  # nothing ever comes in
    "WalletTransfer": _of_asset(_wallet_transfer),
    "Withdraw": _of_asset(_withdraw),
    "WithdrawAddresses": _of_asset(_withdraw_addresses),
    "WithdrawCancel": _withdraw_cancel,
    "WithdrawInfo": _of_asset(_withdraw_info),
    "WithdrawMethods": _of_asset(_withdraw_methods),
    "WithdrawStatus": _withdraw_status,
}
