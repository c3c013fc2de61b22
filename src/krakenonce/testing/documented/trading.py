"""Kraken's private methods that place, change and cancel orders, and those of its strategies."""

from __future__ import annotations

from typing import Any

from krakenonce.testing.documented.account import ORDER_TYPES
from krakenonce.testing.documented.notation import OneOf, method, parameters

_MODIFY, _CLOSE = "modify-trades", "close-trades"
_BOTH, _EITHER = f"{_MODIFY} + {_CLOSE}", f"{_MODIFY} / {_CLOSE}"

_CLOSING = parameters(
    "ordertype! {limit|-iceberg|stop-loss|take-profit|stop-loss-limit|take-profit-limit|trailing-stop"
    "|trailing-stop-limit}\n price price\n price2 price"
)
_ORDER = f"""
    type! {{buy|sell}}
    ordertype! {{{ORDER_TYPES.replace("settle", "-settle")}}}
    volume! decimal
    displayvol decimal
    price price
    price2 price
    trigger {{index|last}}
    leverage leverage
    reduce_only switch
    stptype {{cancel-newest|cancel-oldest|cancel-both}}
    oflags [post|fcib|fciq|nompp|viqc]
    timeinforce {{GTC|IOC|GTD|FOK}}
    starttm moment
    expiretm moment
    userref integer -2147483648..2147483647
    cl_ord_id text
    close object
"""
# trading_agreement: Kraken's former page asked residents of the USA for it; clikraken still sends it. broker: the
# program that places the order; nautilus_trader names itself. It is the same order.
_PLACING = """
    pair! text
    asset_class {currency|-tokenized_asset}
    deadline rfc3339
    validate switch
    trading_agreement {agree}
    broker text
"""
_WORDS: dict[str, Any] = {"order": "text", "close?": "text"}
_COUNT: dict[str, Any] = {"count": "int", "pending?": "switch"}

_STRATEGY: dict[str, Any] = {
    "strategy_id": "text",
    "status": "{pending|open|closed|expired|cancelled}",
    "reason?": "text",
    "details": {
        "strategy_type": "{twap}",
        "side": "{buy|sell}",
        "volume": "decimal",
        "filled_volume": "decimal",
        "avg_price?": "decimal",
        "total_cost": "decimal",
        "total_fee": "decimal",
        "starttm": "decimal",
        "expiretm": "decimal",
        "symbol": "text",
        "asset_class": "text",
        "ordertype": "{market|limit}",
        "price?": "decimal",
    },
}

TRADING = (
    method(
        "AddOrder",
        _MODIFY,
        parameters(_PLACING + _ORDER, close=_CLOSING),
        {"descr": _WORDS, "txid?": ["text"]},
    ),
    method(
        "AddOrderBatch",
        _BOTH,
        parameters(f"{_PLACING}\n orders! objects", orders=parameters(_ORDER, close=_CLOSING)),
        {"orders": [OneOf(({"descr": _WORDS, "txid?": "text"}, {"error": "text"}))]},
    ),
    method(
        "AmendOrder",
        _EITHER,
        """
        txid text
        cl_ord_id text
        order_qty decimal
        display_qty decimal
        limit_price price
        trigger_price price
        -pair text
        post_only switch
        deadline rfc3339
        """,
        {"amend_id": "text"},
    ),
    method(
        "EditOrder",
        _BOTH,
        """
        userref integer -2147483648..2147483647
        txid! text
        volume decimal
        displayvol decimal
        pair! text
        asset_class {currency|-tokenized_asset}
        price price
        price2 price
        oflags [post|fcib|fciq|nompp|viqc]
        deadline rfc3339
        cancel_response switch
        validate switch
        """,
        {
            "descr": _WORDS,
            "txid?": "text",
            "newuserref?": "text",
            "olduserref?": "text",
            "orders_cancelled?": "int",
            "originaltxid?": "text",
            "status": "{ok|err|Ok|Err}",  # the specification writes them large, Kraken's answers small
            "volume?": "decimal",
            "price?": "text",
            "price2?": "text",
            "error_message?": "text",
        },
    ),
    # Bots ask with an empty txid whether they may cancel (infinity-grid 1.3.6, which wants EOrder:Invalid order).
    method("CancelOrder", _EITHER, "txid blank\n cl_ord_id text", _COUNT),
    method(
        "CancelOrderBatch",
        _EITHER,
        parameters(
            "orders texts\n cl_ord_ids texts",
            orders=parameters("txid text\n cl_ord_id text"),
            cl_ord_ids=parameters("cl_ord_id text"),
        ),
        _COUNT,
    ),
    method("CancelAll", _EITHER, "", _COUNT),
    method(
        "CancelAllOrdersAfter", _EITHER, "timeout! integer 0..86399", {"currentTime": "text", "triggerTime?": "text"}
    ),
    method("GetWebSocketsToken", "create-ws-token", "", {"token": "text", "expires": "int"}),
    # How Kraken sizes and times the orders of a strategy is not documented: it is not simulated.
    method(
        "AddStrategy",
        _MODIFY,
        """
        symbol! text
        asset_class {forex}
        strategy_type! {twap}
        side! {buy|sell}
        volume! decimal
        ordertype! {market|limit}
        price decimal
        starttm moment
        expiretm! moment
        validate switch
        """,
        {"strategy_id": "text"},
        is_simulated=False,
    ),
    method("CancelStrategy", _CLOSE, "strategy_id! text", "any", is_simulated=False),
    method(
        "QueryStrategies", "query-open-trades / query-closed-trades", "strategy_ids! texts", "any", is_simulated=False
    ),
    method("GetOpenStrategies", "query-open-trades", "strategy_type {twap}", {"open": [_STRATEGY]}),
    method(
        "GetClosedStrategies",
        "query-closed-trades",
        """
        strategy_type {twap}
        status {closed|expired|cancelled}
        start time
        end time
        query_time_mode {open|close}
        limit integer 1..1000
        cursor text
        """,
        {"closed": [_STRATEGY], "next_cursor?": "text?"},
    ),
)
