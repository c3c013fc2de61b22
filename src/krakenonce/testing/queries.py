"""The private methods that show balances, orders, trades and the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.amends import order_amends
from krakenonce.testing.arguments import invalid, is_on, listed, required, whole
from krakenonce.testing.consolidating import consolidated
from krakenonce.testing.markets import ASSETS, PAIRS, amount_text, find_asset, find_pair
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.testing.orders import Order
    from krakenonce.testing.private import Call

    Entries = Mapping[str, dict[str, Any]]  # by id, as Kraken shows them


_PAGE = 50
_MOST_ORDERS, _MOST_OTHERS = 50, 20  # that may be asked for by id
_UNKNOWN = "EOrder:Invalid order"  # of QueryTrades, as python-kraken-sdk's tests found at Kraken
_CREDIT_TOTALS = ("total_credit_usd", "total_credit_used_usd", "ongoing_balance", "debt_to_equity")


def _balance(call: Call) -> dict[str, Any]:
    return {asset: amount_text(asset, amount) for asset, amount in call.account.balances.items()}


def _balance_ex(call: Call) -> dict[str, Any]:
    fee = call.engine.rules.held_fee
    return {
        asset: {
            "balance": amount_text(asset, amount),
            "hold_trade": amount_text(asset, call.account.held(asset, fee)),
        }
        for asset, amount in call.account.balances.items()
    }


def _credit_lines(call: Call) -> dict[str, Any]:
    """Return what a client without a credit line has: all of its balances, and no credit."""
    worth = f"{_worth(call):.4f}"
    details = {
        asset: {
            "balance": amount_text(asset, amount),
            **dict.fromkeys(("credit_limit", "credit_used", "available_credit"), amount_text(asset, Decimal(0))),
        }
        for asset, amount in call.account.balances.items()
    }
    totals = {"total_collateral_value_usd": worth, "equity_usd": worth}
    return {"asset_details": details, "limits_monitor": dict.fromkeys(_CREDIT_TOTALS) | totals}


def _trade_balance(call: Call) -> dict[str, Any]:
    asset = find_asset(call.params.get("asset", "ZUSD"))
    total, nothing = f"{_worth(call) / in_dollars(call, asset.name):.4f}", "0.0000"
    return {
        "eb": total,
        "tb": total,
        "m": nothing,
        "uv": nothing,
        "n": nothing,
        "c": nothing,
        "v": nothing,
        "e": total,
        "mf": total,
    }


def _worth(call: Call) -> Decimal:
    return sum((in_dollars(call, asset) * held for asset, held in call.account.balances.items()), Decimal(0))


def in_dollars(call: Call, asset: str) -> Decimal:
    """Return the price of an asset in dollars: of its pair with the dollar; what is in Earn is worth the same."""
    known = ASSETS.get(asset)
    altname = known.altname.removesuffix(".B") if known else asset
    if altname == "USD":
        return Decimal(1)
    for pair in PAIRS.values():
        price = call.engine.books[pair.name].reference
        if (pair.base.altname, pair.quote.altname) == (altname, "USD"):
            return price
        if (pair.base.altname, pair.quote.altname) == ("USD", altname):
            return 1 / price
    return Decimal(0)


def _trade_volume(call: Call) -> dict[str, Any]:
    asked = call.params.get("pair") or []
    names = asked.split(",") if isinstance(asked, str) else [x["asset"] if isinstance(x, dict) else x for x in asked]
    pairs = {name.strip(): find_pair(name.strip()).name for name in names}
    rules = call.engine.rules

    def shown(fee: Decimal) -> dict[str, Any]:
        percent = f"{fee * 100:.4f}"
        return {"fee": percent, "minfee": percent, "maxfee": percent, **tier}

    tier = {"nextfee": None, "nextvolume": None, "tiervolume": "0.0000"}
    return {
        "currency": "ZUSD",
        "volume": "0.0000",
        "inputs": {
            "domain_spot_volume_30d": "0.0000",
            "domain_futures_volume_30d": "0.0000",
            "domain_assets_on_platform": f"{_worth(call):.4f}",
        },
        "fees": {name: shown(rules.taker_fee) for name in pairs.values()} or None,
        "fees_maker": {name: shown(rules.maker_fee) for name in pairs.values()} or None,
        **({"schedules": [_schedule(call, name) for name in pairs]} if is_on(call.params, "fee_schedule") else {}),
    }


def _schedule(call: Call, pair: str) -> dict[str, Any]:
    """Return what a pair costs whom: all accounts have the same fees."""
    maker, taker = (f"{fee * 100:.4f}" for fee in (call.engine.rules.maker_fee, call.engine.rules.taker_fee))
    return {"pair": pair, "class": "forex", "tiers": [{"maker_fee": maker, "taker_fee": taker, "active": True}]}


def _open_orders(call: Call) -> dict[str, Any]:
    named = {name: call.params.get(name) or None for name in ("cl_ord_id", "userref")}
    return {"open": _shown(call, _visible(call, call.account.open_with(**named)))}


def _closed_orders(call: Call) -> dict[str, Any]:
    time = "opentm" if call.params.get("closetime") == "open" else "closetm"
    return _history(call, "closed", _shown(call, _visible(call, call.account.done.values())), time)


def _query_orders(call: Call) -> dict[str, Any]:
    there = [call.account.find(txid) for txid in _asked_ids(call, "txid")]
    found = _visible(call, [order for order in there if order is not None], names=("userref",))
    if not found:
        raise Refused(call.engine.rules.unknown_order_error)
    return _shown(call, found)


def _shown(call: Call, orders: Iterable[Order]) -> dict[str, dict[str, Any]]:
    with_trades = is_on(call.params, "trades")
    found = {order.txid: order.shown(with_trades=with_trades) for order in orders}
    if with_trades and not _is_off(call, "consolidate_taker"):
        there = consolidated(call.account.trades)
        for shown in found.values():
            if "trades" in shown:
                shown["trades"] = [txid for txid in shown["trades"] if txid in there]
    return found


def _trades_history(call: Call) -> dict[str, Any]:
    trades: Entries = call.account.trades
    if call.params.get("type", "all") not in ("all", "no position"):
        trades = {}  # there are no positions
    if not _is_off(call, "consolidate_taker"):
        trades = consolidated(trades)
    return _history(call, "trades", trades if is_on(call.params, "ledgers") else _without_ledgers(trades))


def _query_trades(call: Call) -> Entries:
    return _without_ledgers(_all_of(call.account.trades, _asked_ids(call, "txid", _MOST_OTHERS), _UNKNOWN))


def _without_ledgers(trades: Entries) -> Entries:
    return {txid: {name: value for name, value in trade.items() if name != "ledgers"} for txid, trade in trades.items()}


def _ledgers(call: Call) -> dict[str, Any]:
    assets = {find_asset(name).name for name in listed(call.params, "asset") if name != "all"}
    kind = call.params.get("type", "all").replace("nft_rebate", "nftrebate")
    aclass = call.params.get("aclass", "currency")
    entries = {
        txid: entry
        for txid, entry in call.account.ledger.items()
        if (not assets or entry["asset"] in assets)
        and kind in ("all", entry["type"])
        and aclass in ("all", entry["aclass"])
    }
    return _history(call, "ledger", entries)


def _query_ledgers(call: Call) -> Entries:
    return _all_of(call.account.ledger, _asked_ids(call, "id", _MOST_OTHERS), "EQuery:Unknown ledger")


def _all_of(there: Entries, wanted: list[str], error: str) -> Entries:
    if not set(wanted) <= set(there):
        raise Refused(error)
    return {txid: dict(there[txid]) for txid in wanted}


def _is_off(call: Call, name: str) -> bool:
    return name in call.params and not is_on(call.params, name)


def _asked_ids(call: Call, name: str, most: int = _MOST_ORDERS) -> list[str]:
    wanted = listed(call.params, name)
    if not 1 <= len(wanted) <= most:
        raise invalid(name)
    return wanted


def _visible(call: Call, orders: Iterable[Order], names: tuple[str, ...] = ("cl_ord_id", "userref")) -> list[Order]:
    """Return the orders that are not hidden and that have the ``cl_ord_id`` and ``userref`` of the call, if given."""
    wanted = {name: call.params[name] for name in names if call.params.get(name)}
    return [
        order
        for order in orders
        if order.visible_from <= call.now and all(str(getattr(order, name)) == value for name, value in wanted.items())
    ]


def _history(call: Call, name: str, entries: Entries, time: str = "time") -> dict[str, Any]:
    """Return one page of a history, the newest entry first, from after ``start`` until ``end``.

    Args:
        call: Its parameters are ``start`` and ``end``, each a time or an id, ``ofs``, and ``without_count``.
        name: Kraken's name for the entries.
        entries: All entries.
        time: The field with the time of an entry.
    """
    times = {txid: entry[time] for txid, entry in entries.items()}
    # An id of an order stands for the time when it was opened.
    named = {txid: entry["opentm"] for txid, entry in entries.items()} if name == "closed" else times
    start, end = _bound(call, "start", named, float("-inf")), _bound(call, "end", named, float("inf"))
    chosen = [txid for txid in sorted(times, key=times.__getitem__)[::-1] if start < times[txid] <= end]
    offset = whole(call.params, "ofs", allowed=range(2**31))
    page = {txid: dict(entries[txid]) for txid in chosen[offset : offset + _PAGE]}
    return {name: page} if is_on(call.params, "without_count") else {name: page, "count": len(chosen)}


def _bound(call: Call, name: str, times: dict[str, float], default: float) -> float:
    text = required(call.params, name) if call.params.get(name) else ""
    try:
        return times[text] if text in times else float(text or default)
    except ValueError:
        raise invalid(name) from None


QUERIES: dict[str, Callable[[Call], Any]] = {
    "Balance": _balance,
    "BalanceEx": _balance_ex,
    "ClosedOrders": _closed_orders,
    "CreditLines": _credit_lines,
    "GetClosedStrategies": lambda _: {"closed": [], "next_cursor": None},  # strategies are not simulated
    "GetOpenStrategies": lambda _: {"open": []},
    "Ledgers": _ledgers,
    "OpenOrders": _open_orders,
    # There is no margin here. By market, positions are a list, as python-kraken-sdk's tests found at Kraken.
    "OpenPositions": lambda call: [] if "consolidation" in call.params else {},
    "OrderAmends": order_amends,
    "QueryLedgers": _query_ledgers,
    "QueryOrders": _query_orders,
    "QueryTrades": _query_trades,
    "TradeBalance": _trade_balance,
    "TradeVolume": _trade_volume,
    "TradesHistory": _trades_history,
}
