"""The private methods that show balances, orders, trades and the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, is_on, listed, required, whole
from krakenonce.testing.markets import PAIRS, amount_text, find_asset, find_pair
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.testing.orders import Order
    from krakenonce.testing.private import Call

    Entries = Mapping[str, dict[str, Any]]  # by id, as Kraken shows them


_PAGE = 50
_MOST_ASKED = 50


def _balance(call: Call) -> dict[str, Any]:
    return {asset: amount_text(asset, amount) for asset, amount in call.account.balances.items()}


def _balance_ex(call: Call) -> dict[str, Any]:
    fee = call.engine.rules.taker_fee
    return {
        asset: {
            "balance": amount_text(asset, amount),
            "hold_trade": amount_text(asset, call.account.held(asset, fee)),
        }
        for asset, amount in call.account.balances.items()
    }


def _trade_balance(call: Call) -> dict[str, Any]:
    worth = sum((_in_dollars(call, asset) * held for asset, held in call.account.balances.items()), Decimal(0))
    total, nothing = f"{worth:.4f}", "0.0000"
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


def _in_dollars(call: Call, asset: str) -> Decimal:
    """Return the price of an asset in dollars: of its pair with the dollar; for the euro, by the two bitcoin pairs."""
    if asset == "ZUSD":
        return Decimal(1)
    books = call.engine.books
    if asset == "ZEUR":
        return books["XXBTZUSD"].reference / books["XXBTZEUR"].reference
    with_dollar = [pair for pair in PAIRS.values() if pair.base.name == asset and pair.quote.name == "ZUSD"]
    return books[with_dollar[0].name].reference if with_dollar else Decimal(0)


def _trade_volume(call: Call) -> dict[str, Any]:
    pairs = [find_pair(name).name for name in listed(call.params, "pair")]
    rules = call.engine.rules

    def shown(fee: Decimal) -> dict[str, Any]:
        percent = f"{fee * 100:.4f}"
        return {"fee": percent, "minfee": percent, "maxfee": percent, "nextfee": None, "tiervolume": "0.0000"}

    answer: dict[str, Any] = {"currency": "ZUSD", "volume": "0.0000"}
    if pairs:
        answer["fees"] = {name: shown(rules.taker_fee) for name in pairs}
        answer["fees_maker"] = {name: shown(rules.maker_fee) for name in pairs}
    return answer


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
    return {order.txid: order.shown(with_trades=with_trades) for order in orders}


def _trades_history(call: Call) -> dict[str, Any]:
    trades = call.account.trades
    return _history(call, "trades", trades if is_on(call.params, "ledgers") else _without_ledgers(trades))


def _query_trades(call: Call) -> Entries:
    return _without_ledgers(_all_of(call.account.trades, _asked_ids(call, "txid"), "EQuery:Unknown trade"))


def _without_ledgers(trades: Entries) -> Entries:
    return {txid: {name: value for name, value in trade.items() if name != "ledgers"} for txid, trade in trades.items()}


def _ledgers(call: Call) -> dict[str, Any]:
    assets = {find_asset(name).name for name in listed(call.params, "asset") if name != "all"}
    kind = call.params.get("type") or "all"
    entries = {
        txid: entry
        for txid, entry in call.account.ledger.items()
        if (not assets or entry["asset"] in assets) and kind in ("all", entry["type"])
    }
    return _history(call, "ledger", entries)


def _query_ledgers(call: Call) -> Entries:
    return _all_of(call.account.ledger, _asked_ids(call, "id"), "EQuery:Unknown ledger")


def _all_of(there: Entries, wanted: list[str], error: str) -> Entries:
    if not set(wanted) <= set(there):
        raise Refused(error)
    return {txid: dict(there[txid]) for txid in wanted}


def _asked_ids(call: Call, name: str) -> list[str]:
    wanted = listed(call.params, name)
    if not 1 <= len(wanted) <= _MOST_ASKED:
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
    start, end = _bound(call, "start", times, float("-inf")), _bound(call, "end", times, float("inf"))
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
    "Ledgers": _ledgers,
    "OpenOrders": _open_orders,
    "OpenPositions": lambda _: {},  # there is no margin here
    "QueryLedgers": _query_ledgers,
    "QueryOrders": _query_orders,
    "QueryTrades": _query_trades,
    "TradeBalance": _trade_balance,
    "TradeVolume": _trade_volume,
    "TradesHistory": _trades_history,
}
