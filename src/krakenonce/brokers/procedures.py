"""The methods of both managers, each written once, and run with threads or with tasks. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeAlias

from krakenonce.brokers.credentials import MASTER, full_name
from krakenonce.brokers.fan_out import Call, FanOut, OnOutcome, Outcome, R, Verdict, order_to_find, verdicts
from krakenonce.errors import ConfigError
from krakenonce.key.answers import Reading
from krakenonce.key.parameters import check_parameters

if TYPE_CHECKING:
    from krakenonce.kraken.sent import Reconciled


logger = logging.getLogger("krakenonce")

Amount: TypeAlias = Decimal | int | str
Scale: TypeAlias = "Amount | Mapping[str, Amount]"
There: TypeAlias = Mapping[str, Any]
Outcomes: TypeAlias = dict[str, Outcome[R]]

_LOT = Decimal("0.00000001")  # the smallest step of a volume at Kraken


def connect_all(
    there: There, /, accounts: Iterable[str] | None = None, *, within: float | None = None
) -> FanOut[bool, Outcomes[bool]]:
    """Test accounts with one Balance call each; one that cannot connect is logged and does not affect the others.

    Args:
        there: All accounts; a manager's method has them.
        accounts: Names of accounts; None: all.
        within: Seconds that all calls together may take; None: as long as each call may.
    """

    def log(outcome: Outcome[bool]) -> None:
        if outcome.ok:
            logger.info("✅ Kraken connected (%s)", outcome.account)
        else:
            logger.error("❌ Kraken not connected (%s): %s", outcome.account, outcome.error)

    return FanOut(_chosen(there, accounts), lambda _: Call.of("Balance", {}), within, log, read=lambda _: True)


def balances(
    there: There,
    /,
    accounts: Iterable[str] | None = None,
    *,
    within: float | None = None,
    on_outcome: OnOutcome = None,
) -> FanOut[dict[str, Decimal], Outcomes[dict[str, Decimal]]]:
    """Return each account's balances; arguments as for ``call_all``."""
    return FanOut(_chosen(there, accounts), lambda _: Call.of("Balance", {}), within, on_outcome, read=exact)


def call_all(
    there: There,
    /,
    method: str,
    params: Mapping[str, Any] | None = None,
    accounts: Iterable[str] | None = None,
    *,
    within: float | None = None,
    on_outcome: OnOutcome = None,
) -> FanOut[Any, Outcomes[Any]]:
    """Make one private call for many accounts at the same time.

    Args:
        there: All accounts; a manager's method has them.
        method: Kraken's name of the method.
        params: Its parameters, the same for all.
        accounts: Names of accounts; None: all.
        within: Seconds that all calls together may take; a call that has not been sent by then is not sent.
        on_outcome: Called with each outcome as it comes; after Ctrl-C with those that are missing, too.

    Returns:
        By account: its result, or its error. An error in one account does not affect the others.

    Raises:
        ConfigError: There is no such account or parameter, or *within* is not a number of seconds; nothing was sent.
    """
    check_parameters(method, params or {})
    return FanOut(_chosen(there, accounts), lambda _: Call.of(method, params or {}), within, on_outcome)


def copy_order(
    there: There,
    /,
    order: Mapping[str, Any],
    accounts: Iterable[str] | None = None,
    scale: Scale = 1,
    *,
    within: float | None = None,
    on_outcome: OnOutcome = None,
) -> FanOut[Any, Outcomes[Any]]:
    """Place one order for many accounts at the same time; no order is placed twice.

    Args:
        there: All accounts; a manager's method has them.
        order: Kraken's parameters of AddOrder. Each copy gets a ``cl_ord_id`` of its own.
        accounts: Names of accounts; None: all users, but not MASTER, whose order it usually is.
        scale: Factor for the volume: one for all accounts, or one for each by name. The volume is rounded down to 8
            decimals.
        within: Seconds that all calls together may take; an order that has not been sent by then is not sent.
        on_outcome: Called with each outcome as it comes; after Ctrl-C with those that are missing, too.

    Returns:
        By account: Kraken's result, or its error. For orders with an unknown outcome, ``reconcile`` asks Kraken.

    Raises:
        ConfigError: There is no such account or parameter, or a factor is not an exact number above 0; nothing was
            sent.
    """
    check_parameters("AddOrder", order)
    factors = _by_name(scale, there)
    if accounts is None:
        accounts = [name for name in there if name != MASTER]
    return FanOut(
        _chosen(there, accounts),
        lambda name: Call.of("AddOrder", scaled(order, factors, name)),
        within,
        on_outcome,
    )


def reconcile(
    there: There,
    /,
    outcomes: Mapping[str, Outcome[Any]],
    *,
    within: float | None = None,
    on_outcome: OnOutcome = None,
) -> FanOut[Reconciled, dict[str, Verdict]]:
    """Return what became of each account's order. Kraken is asked about those with an unknown outcome.

    Args:
        there: All accounts; a manager's method has them.
        outcomes: What ``copy_order`` has returned, or ``call_all("AddOrder", ...)``.
        within: Seconds that it may take; None: until each order is found or its deadline has passed.
        on_outcome: Called with Kraken's answer about an order, an Outcome of a
            :class:`~krakenonce.kraken.sent.Reconciled`, as it comes.

    Returns:
        By account: its Verdict.

    Raises:
        ConfigError: There is no such account.
    """
    orders = {name: order for name, outcome in outcomes.items() if (order := order_to_find(outcome))}
    return FanOut(
        _chosen(there, orders),
        lambda name: Call("", {}, orders[name]),
        within,
        on_outcome,
        result=lambda found: verdicts(outcomes, found),
    )


def exact(balance: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return Kraken's balance with exact amounts."""
    with Reading("Balance"):
        return {asset: Decimal(str(amount)) for asset, amount in balance.items()}


def scaled(order: Mapping[str, Any], scale: Scale, name: str) -> dict[str, Any]:
    """Return the order for one account: its volume times its scale, rounded down to 8 decimals.

    Args:
        order: Kraken's parameters of AddOrder.
        scale: A factor for all accounts, or one for each by name; an account that is not named has 1.
        name: The account.

    Raises:
        ConfigError: Volume or scale is not an exact number above 0, or the volume is 0 after rounding.
    """
    factor = scale if isinstance(scale, Decimal | int | str | float) else scale.get(name, 1)
    volume = _exact("volume", order.get("volume")) * factor_of(factor)
    rounded = volume.quantize(_LOT, ROUND_DOWN)
    if rounded <= 0:
        raise ConfigError(
            f"the volume of {name}'s order is {volume:f}, less than Kraken's smallest volume; the order was not sent"
        )
    return {**order, "volume": format(rounded.normalize(), "f")}


def _chosen(there: There, wanted: Iterable[str] | None) -> list[str]:
    """Return the full names of the accounts in *wanted*, each once; None: of all accounts.

    Raises:
        ConfigError: There is no such account; the message lists all accounts.
    """
    if wanted is None:
        return list(there)
    if isinstance(wanted, str):
        raise ConfigError(f"accounts must be a list, such as [{wanted!r}]")
    return list(dict.fromkeys(full_name(there, name) for name in wanted))


def _by_name(scale: Scale, there: There) -> Scale:
    """Return *scale* with the accounts' full names.

    Raises:
        ConfigError: There is no such account, or a factor is not an exact number above 0.
    """
    if isinstance(scale, Decimal | int | str | float):
        return _exact("scale", scale)
    return {full_name(there, name): _exact("scale", factor) for name, factor in scale.items()}


def factor_of(scale: object) -> Decimal:
    """Return a factor for a volume. Raises ConfigError if it is not an exact number above 0."""
    return _exact("scale", scale)


def _exact(what: str, value: object) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, Decimal | int | str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number <= 0:
        raise ConfigError(f"the {what} must be a Decimal, text or integer above 0")
    return number
