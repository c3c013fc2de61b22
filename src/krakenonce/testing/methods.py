"""The methods that the fake Kraken knows, and what each answers.

Prices do not move and balances do not change: a market order is filled at once and a limit order stays open.
"""

from __future__ import annotations

import secrets
import string
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.testing.fake_kraken import FakeAccount

__all__ = ["PRIVATE", "PUBLIC", "Refused"]

_ID_SIGNS = string.ascii_uppercase + string.digits
_PERMISSIONS = ["query-funds", "query-open-trades", "modify-trades", "close-trades"]


class Refused(Exception):
    """An answer that consists of an error string."""


def _balance(account: FakeAccount, params: Mapping[str, str], now: float) -> dict[str, Any]:  # noqa: ARG001 - all methods are called alike
    return dict(account.balances)


def _key_info(account: FakeAccount, params: Mapping[str, str], now: float) -> dict[str, Any]:  # noqa: ARG001 - all methods are called alike
    return {
        "apiKeyName": account.name,
        "apiKey": account.key,
        "nonce": str(account.last_nonce),
        "nonceWindow": 0,
        "permissions": list(_PERMISSIONS),
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": "0",
        "modifiedTime": "0",
        "ipAllowlist": [],
        "lastUsed": str(int(now)),
    }


def _open_orders(account: FakeAccount, params: Mapping[str, str], now: float) -> dict[str, Any]:  # noqa: ARG001 - all methods are called alike
    wanted = {name: params[name] for name in ("cl_ord_id", "userref") if name in params}
    return {
        "open": {
            txid: order
            for txid, order in account.orders.items()
            if all(str(order.get(name)) == value for name, value in wanted.items())
        }
    }


def _add_order(account: FakeAccount, params: Mapping[str, str], now: float) -> dict[str, Any]:
    pair, side, kind = (_required(params, name) for name in ("pair", "type", "ordertype"))
    if side not in ("buy", "sell"):
        raise Refused("EGeneral:Invalid arguments:type")
    if kind not in ("market", "limit"):
        raise Refused("EGeneral:Invalid arguments:ordertype")
    volume = format(_positive(params, "volume"), ".8f")
    price = format(_positive(params, "price"), "f") if kind == "limit" else "0"
    text = f"{side} {volume} {pair} @ {kind}" + (f" {price}" if kind == "limit" else "")
    if params.get("validate") == "true":
        return {"descr": {"order": text}}
    txid = _new_id("O")
    if kind == "limit":  # a market order is filled at once and never seen open
        descr = {"pair": pair, "type": side, "ordertype": kind, "price": price, "order": text}
        account.orders[txid] = _order(descr, volume, params, now)
    return {"descr": {"order": text}, "txid": [txid]}


def _order(descr: dict[str, str], volume: str, params: Mapping[str, str], now: float) -> dict[str, Any]:
    order = {
        "refid": None,
        "userref": _userref(params),
        "status": "open",
        "opentm": round(now, 4),
        "starttm": 0,
        "expiretm": 0,
        "descr": {**descr, "price2": "0", "leverage": "none", "close": ""},
        "vol": volume,
        "vol_exec": "0.00000000",
        "cost": "0.00000",
        "fee": "0.00000",
        "price": "0.00000",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": "fciq",
    }
    return {**order, "cl_ord_id": params["cl_ord_id"]} if "cl_ord_id" in params else order


def _required(params: Mapping[str, str], name: str) -> str:
    if not params.get(name):
        raise Refused(f"EGeneral:Invalid arguments:{name}")
    return params[name]


def _positive(params: Mapping[str, str], name: str) -> Decimal:
    try:
        number = Decimal(_required(params, name))
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise Refused(f"EGeneral:Invalid arguments:{name}")
    return number


def _userref(params: Mapping[str, str]) -> int:
    try:
        return int(params.get("userref", "0"))
    except ValueError:
        raise Refused("EGeneral:Invalid arguments:userref") from None


def _new_id(first: str) -> str:
    signs = first + "".join(secrets.choice(_ID_SIGNS) for _ in range(16))
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"


def _time(now: float) -> dict[str, Any]:
    moment = datetime.fromtimestamp(now, UTC)
    return {"unixtime": int(now), "rfc1123": moment.strftime("%a, %d %b %y %H:%M:%S +0000")}


def _system_status(now: float) -> dict[str, Any]:
    return {"status": "online", "timestamp": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


PUBLIC: dict[str, Callable[[float], dict[str, Any]]] = {"Time": _time, "SystemStatus": _system_status}
PRIVATE: dict[str, Callable[[FakeAccount, Mapping[str, str], float], dict[str, Any]]] = {
    "AddOrder": _add_order,
    "Balance": _balance,
    "GetApiKeyInfo": _key_info,
    "OpenOrders": _open_orders,
}
