"""What is known about Kraken's methods: what each does, what it costs, and which gateway permission it needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

# Kraken's id of an order or of a strategy, which no other one gets. By the time of a second cancel, a userref or a
# cl_ord_id may name another order.
_ID = re.compile(r"(O|AS)[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")
_USERREF = re.compile(r"[+-]?[0-9]{1,19}")


class Kind(Enum):
    """What a call does at Kraken."""

    READ = "changes nothing: may be repeated"
    CANCEL = "cancels what it names by Kraken's own id: may be repeated, because the second one has nothing left to do"
    ORDER = "places orders: never repeated before it is known that the first was not executed"
    OTHER = "changes something, or is not known: never repeated before it is known that the first was not executed"


class Method(NamedTuple):
    """One of Kraken's private methods. The defaults are those of a method that is not known.

    Args:
        kind: What it does at Kraken, unless its parameters say otherwise, see :func:`kind_of`.
        group: Which group of methods a local key of the gateway needs for it.
        rest: What a call adds to the key's REST counter.
        engine: What it adds to the trading engine's counter of the pair, for each order in it.
        by_age: What it adds besides, for an order younger than 5, 10, 15, 45, 90 and 300 seconds.
        waits: Whether the engine refuses it above the maximum.
        batch: Whether its orders are in the list ``orders``.
        renews: Whether its orders count as new afterwards, under the ids in the call.
        urgent: Whether it protects an account, and so goes before calls that wait: cancels, the dead man's switch, and
            WebSocket tokens, with which orders can be cancelled. Its parameters may say otherwise, see
            :func:`is_urgent`.
        validate: Whether it has the parameter ``validate``, with which Kraken only checks it.
        by: Of a cancel: the parameter with Kraken's id of what it cancels.
        look: What shows whether it was executed, if that is not the same for its group.
        new: The group that it needs if the parameter ``new`` is set, which makes it change something. Empty: it has no
            such parameter.
        takes: The names of its parameters, if it changes something. None: they are not known, or it only reads.
        each_takes: Of a batch: the names of the parameters of each order.
        needs: Which permissions of GetApiKeyInfo a key needs for it, if it changes something: ``a + b`` both, ``a / b``
            one of them. Empty: none that is known.
    """

    kind: Kind = Kind.OTHER
    group: str = "other"
    rest: int = 1
    engine: float = 0
    by_age: tuple[int, ...] = ()
    waits: bool = True
    batch: bool = False
    renews: bool = False
    urgent: bool = False
    validate: bool = False
    by: str = "txid"
    look: str = ""
    new: str = ""
    takes: str | None = None
    each_takes: str = ""
    needs: str = ""

    def may_be_called(self, permissions: Collection[str]) -> bool:
        """Return whether a key with these permissions may call it, as far as that is known."""
        return not self.needs or any(set(each.split(" + ")) <= set(permissions) for each in self.needs.split(" / "))


class _Methods(dict[str, Method]):
    def __missing__(self, _: str) -> Method:
        return _UNKNOWN


_UNKNOWN = Method()
_QUERY = Method(Kind.READ, "query")
# Kraken's page says 2 for ledger and trade history calls, its own client also for the lists of orders. We count the
# larger value: counting too much makes a call wait, counting too little makes Kraken refuse it.
_LIST = Method(Kind.READ, "query", rest=2)
_CANCEL_BY_AGE = (8, 6, 5, 4, 2, 1)

_ORDER = (
    "ordertype type volume displayvol price price2 trigger leverage reduce_only stptype oflags timeinforce starttm "
    "expiretm userref cl_ord_id close close[ordertype] close[price] close[price2]"
)
# broker: Kraken's change log of May 2026; trading_agreement: Kraken's former page for residents of the USA (clikraken)
_ORDERS = "pair asset_class deadline validate broker trading_agreement"

# What shows whether a call was executed, by its group.
_LOOK = {
    "trade": "look at the open and closed orders",
    "cancel": "look at the open orders",
    "cancel-all": "look at the open orders",
    "withdraw": "look at WithdrawStatus",
    "transfer": "look at the balances and the ledger",
}

# From Kraken's REST API specification (krakenfx/api-specs, 86715cf), in the same order. ListWalletAccounts and the
# strategies are newer: from their pages on docs.kraken.com (mid-2026).
METHODS = _Methods(
    {
        # account data
        "Balance": _QUERY,
        "BalanceEx": _QUERY,
        "CreditLines": _QUERY,
        "TradeBalance": _QUERY,
        "OpenOrders": _LIST,
        "ClosedOrders": _LIST,
        "QueryOrders": _QUERY,
        "OrderAmends": _QUERY,
        "TradesHistory": _LIST,
        "QueryTrades": _LIST,
        "OpenPositions": _QUERY,
        "Ledgers": _LIST,
        "QueryLedgers": _LIST,
        "TradeVolume": _QUERY,
        "Level3": _QUERY,
        "GetApiKeyInfo": _QUERY,
        "ListWalletAccounts": _QUERY,  # the account_id that Balance, Ledgers and others take
        "AddExport": Method(
            group="export", takes="report format description fields starttm endtm", needs="export-data"
        ),
        "ExportStatus": _QUERY,
        "RetrieveExport": Method(group="query", needs="export-data"),
        "RemoveExport": Method(group="export", takes="id type", needs="export-data"),
        # trading
        "AddOrder": Method(
            Kind.ORDER,
            "trade",
            rest=0,
            engine=1,
            renews=True,
            validate=True,
            takes=f"{_ORDER} {_ORDERS}",
            needs="modify-trades",
        ),
        "AddOrderBatch": Method(
            Kind.ORDER,
            "trade",
            engine=0.5,
            batch=True,
            renews=True,
            validate=True,
            takes=f"orders {_ORDERS}",
            each_takes=_ORDER,
            needs="modify-trades + close-trades",
        ),
        "AmendOrder": Method(
            group="trade",
            engine=1,
            by_age=(3, 2, 1),
            renews=True,
            takes="txid cl_ord_id order_qty display_qty limit_price trigger_price pair post_only deadline",
            needs="modify-trades / close-trades",
        ),
        "EditOrder": Method(
            group="trade",
            engine=1,
            by_age=(6, 5, 4, 2, 1),
            validate=True,
            takes="userref txid volume displayvol pair asset_class price price2 oflags deadline cancel_response "
            "validate",
            needs="modify-trades + close-trades",
        ),
        "CancelOrder": Method(
            Kind.CANCEL,
            "cancel",
            rest=0,
            by_age=_CANCEL_BY_AGE,
            urgent=True,
            takes="txid cl_ord_id",
            needs="modify-trades / close-trades",
        ),
        "CancelOrderBatch": Method(
            Kind.CANCEL,
            "cancel",
            by_age=_CANCEL_BY_AGE,
            waits=False,
            batch=True,
            urgent=True,
            takes="orders cl_ord_ids",
            each_takes="txid cl_ord_id",
            needs="modify-trades / close-trades",
        ),
        # Both reach the orders of all programs of an account, so they have a group of their own.
        "CancelAll": Method(
            group="cancel-all", urgent=True, takes="", needs="modify-trades / close-trades"
        ),  # a second one would cancel orders placed in between
        "CancelAllOrdersAfter": Method(
            group="cancel-all", urgent=True, takes="timeout", needs="modify-trades / close-trades"
        ),  # ... would undo a later setting of the timer
        "GetWebSocketsToken": Method(Kind.READ, "token", urgent=True),  # another call gives another token
        # algo trading. No page says what these add to Kraken's counters: they count like their likes for orders.
        "AddStrategy": Method(  # it has no id of the client's, so no order's kind: nothing finds it for certain
            group="trade",
            validate=True,
            look="look at GetOpenStrategies and GetClosedStrategies",
            takes="symbol asset_class strategy_type side volume ordertype price starttm expiretm validate",
            needs="modify-trades",
        ),
        "CancelStrategy": Method(
            Kind.CANCEL,
            "cancel",
            urgent=True,
            by="strategy_id",
            look="look at GetOpenStrategies",
            takes="strategy_id",
            needs="close-trades",
        ),
        "GetOpenStrategies": _LIST,
        "GetClosedStrategies": _LIST,
        "QueryStrategies": _QUERY,
        # funding
        "DepositMethods": _QUERY,
        "DepositAddresses": Method(Kind.READ, "query", new="deposit", takes="asset aclass method new amount"),
        "DepositStatus": _QUERY,
        "WithdrawMethods": _QUERY,
        "WithdrawAddresses": _QUERY,
        "WithdrawInfo": _QUERY,
        "Withdraw": Method(
            group="withdraw", takes="asset aclass key address amount max_fee rebase_multiplier", needs="withdraw-funds"
        ),
        "WithdrawStatus": _QUERY,
        "WithdrawCancel": Method(group="withdraw", takes="asset refid", needs="withdraw-funds"),
        "WalletTransfer": Method(group="transfer", takes="asset from to amount", needs="query-funds"),
        # subaccounts
        "CreateSubaccount": Method(group="transfer", takes="username email", needs="withdraw-funds"),
        "AccountTransfer": Method(group="transfer", takes="asset asset_class amount from to", needs="withdraw-funds"),
        # earn
        "Earn/Allocate": Method(group="earn", takes="amount strategy_id", needs="earn-funds"),
        "Earn/Deallocate": Method(group="earn", takes="amount strategy_id", needs="earn-funds"),
        "Earn/AllocateStatus": _QUERY,
        "Earn/DeallocateStatus": _QUERY,
        "Earn/Strategies": _QUERY,
        "Earn/Allocations": _QUERY,
    }
)

# Methods that need no key. The last three are newer than the specification: from Kraken's pages, and from ccxt 4.5.90.
_SPECIFIED = (
    "Time",
    "SystemStatus",
    "Assets",
    "AssetPairs",
    "Ticker",
    "OHLC",
    "Depth",
    "GroupedBook",
    "Trades",
    "Spread",
)
PUBLIC = frozenset((*_SPECIFIED, "MaintenanceSchedule", "PreTrade", "PostTrade"))


def kind_of(method: str, params: Mapping[str, Any]) -> Kind:
    """Return the kind of a private call.

    Args:
        method: Kraken's name of the method.
        params: Its parameters: an order with ``validate`` is only checked, ``new`` makes a new deposit address, and a
            cancel may be repeated only if it names all that it cancels by Kraken's own ids.
    """
    its = METHODS[method]
    validate = params.get("validate")
    if its.validate and (validate is True or validate == "true"):
        return Kind.READ
    if (its.new and params.get("new")) or (its.kind is Kind.CANCEL and not _names_ids_alone(method, params)):
        return Kind.OTHER
    return its.kind


def is_urgent(method: str, params: Mapping[str, Any]) -> bool:
    """Return whether a call protects an account. Switching the dead man's switch off does not."""
    return METHODS[method].urgent and not (method == "CancelAllOrdersAfter" and _is_zero(params.get("timeout")))


def places_orders(method: str, params: Mapping[str, Any]) -> bool:
    """Return whether a call places orders, or begins a strategy, which places them."""
    its = METHODS[method]
    return (its.kind is Kind.ORDER or method == "AddStrategy") and kind_of(method, params) is its.kind


def orders_in(method: str, params: Mapping[str, Any]) -> Sequence[Any]:
    """Return the orders in a call, each with its parameters or as an id; none if they are not a list."""
    return _listed(params.get("orders")) if METHODS[method].batch else (params,)


def ids_in(method: str, params: Mapping[str, Any]) -> list[str]:
    """Return the ids of the orders in a call, as they are written there: ``txid`` or ``cl_ord_id``."""
    ids: list[Any] = []
    for each in (*orders_in(method, params), *_listed(params.get("cl_ord_ids"))):
        ids += [each.get("txid"), each.get("cl_ord_id")] if isinstance(each, Mapping) else [each]
    return [str(order) for order in ids if order]


def names_of_orders(method: str, params: Mapping[str, Any]) -> list[list[str]]:
    """Return the names that a client gave to each order in a call: its ``cl_ord_id``, and the ``userref`` of its group.

    A cancel has a ``userref`` in the place of a ``txid``. Kraken's own ids are no such names.
    """
    named = [_names(each) for each in orders_in(method, params)]
    return named + [_names({"cl_ord_id": each}) for each in _listed(params.get("cl_ord_ids"))]


EVERY = "every order"  # in the place of a name


def cancelled_in(method: str, params: Mapping[str, Any]) -> list[str]:
    """Return the names of the orders that a call cancels, but for those that it names by Kraken's own id."""
    if method == "CancelAll":
        return [EVERY]
    its = METHODS[method]
    if its.kind is not Kind.CANCEL or its.by != "txid":
        return []
    return [name for names in names_of_orders(method, params) for name in names]


def look_at(method: str) -> str:
    """Return what shows a person whether a call was executed, such as ``look at the open orders``."""
    its = METHODS[method]
    return its.look or _LOOK.get(its.group, "ask Kraken")


def _names_ids_alone(method: str, params: Mapping[str, Any]) -> bool:
    """Whether a second execution of a cancel can only cancel the same orders or the same strategy."""
    by = METHODS[method].by
    named = [each.get(by) if isinstance(each, Mapping) else each for each in orders_in(method, params)]
    by_another_id = params.get("cl_ord_id") or params.get("cl_ord_ids")
    return bool(named) and not by_another_id and all(isinstance(each, str) and _ID.fullmatch(each) for each in named)


def _names(order: object) -> list[str]:
    fields = order if isinstance(order, Mapping) else {"txid": order}
    cl_ord_id = fields.get("cl_ord_id")
    userref = next(
        (text for text in (str(fields.get("userref")), str(fields.get("txid"))) if _USERREF.fullmatch(text)), ""
    )
    return [*([f"cl_ord_id {cl_ord_id}"] if cl_ord_id else []), *([f"userref {int(userref)}"] if userref else [])]


def _is_zero(value: object) -> bool:
    try:
        return float(str(value)) == 0
    except ValueError:
        return False


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
