"""What a fill changes for one of its two orders."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.ids import new_id

if TYPE_CHECKING:
    from krakenonce.testing.orders import Order


def enter_fill(
    order: Order, price: Decimal, volume: Decimal, now: float, *, fee: Decimal, number: int, is_maker: bool
) -> str:
    """Enter a fill in the order, and in the balances and trades of its account; return the trade's id.

    Args:
        order: The order.
        price: The price.
        volume: How much of the base asset.
        now: Seconds since 1970.
        fee: The fee, as a part of the cost.
        number: The number of the trade in its market.
        is_maker: Whether the order was in the book before.
    """
    pair, owner = order.pair, order.owner
    cost = price * volume
    paid = cost * fee
    sign = 1 if order.side == "buy" else -1
    txid = new_id("T")
    ledgers = owner.enter("trade", txid, pair.base.name, sign * volume, Decimal(0), now)
    ledgers += owner.enter("trade", txid, pair.quote.name, -sign * cost, paid, now)
    order.filled += volume
    order.cost += cost
    order.fee += paid
    order.trades += (txid,)
    owner.trades[txid] = {
        "ordertxid": order.txid,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair.name,
        "aclass": "forex",
        "time": round(now, 7),
        "type": order.side,
        "ordertype": order.kind,
        "tradeordertype": order.matches_as,
        "price": pair.cost_text(price),
        "cost": pair.cost_text(cost),
        "fee": pair.cost_text(paid),
        "vol": f"{volume:.8f}",
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": number,
        "maker": is_maker,
        "ledgers": ledgers,
    }
    return txid
