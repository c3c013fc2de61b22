"""One call to many accounts: whom it goes to, what each is sent, and what became of each. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from .credentials import MASTER, Account, account
from .errors import CallTimeout, ConfigError, OutcomeUnknown
from .kraken.errors import Reading
from .kraken.exchange import Exchange
from .kraken.sent import SentOrder, prepared
from .settings import check_number, check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "OnOutcome",
    "Outcome",
    "Scale",
    "by_name",
    "check_within",
    "checked",
    "chosen",
    "exact",
    "late",
    "not_sent",
    "scaled",
    "some",
    "tell",
    "with_id",
]

logger = logging.getLogger("krakenonce")

R = TypeVar("R")
K = TypeVar("K")
Number: TypeAlias = Decimal | int | str
Scale: TypeAlias = "Number | Mapping[str, Number]"

_LOT = Decimal("0.00000001")  # the finest volume that Kraken takes


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What became of one account's call.

    Args:
        account: Whose call it was.
        result: Its result, if it has one.
        error: Why it has none.
    """

    account: str
    result: R | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None

    @property
    def may_have_executed(self) -> str:
        """``"yes"``, ``"no"`` or ``"unknown"``, as errors say it; ``"unknown"`` for an error that does not."""
        return "yes" if self.error is None else getattr(self.error, "may_have_executed", "unknown")

    def get(self) -> R:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value] # None is a result where R has it


OnOutcome: TypeAlias = "Callable[[Outcome[Any]], object] | None"


def some(accounts: Mapping[str, Account]) -> list[Account]:
    """Return the accounts. Raises ConfigError if there are none."""
    if not accounts:
        account(accounts, MASTER)
    return list(accounts.values())


def checked(accounts: object) -> list[Account]:
    """Return the accounts. Raises ConfigError if one is something else, or two have one name, or one key."""
    listed = list(accounts) if isinstance(accounts, Iterable) and not isinstance(accounts, Mapping | str) else [None]
    if not all(isinstance(each, Account) for each in listed):
        raise ConfigError("accounts is a list of Account, such as load_accounts(os.environ).values()")
    found: dict[str, Account] = {}
    keys: dict[str, str] = {}
    for each in listed:
        if each is None:
            continue
        if found.setdefault(each.name, each) is not each:
            raise ConfigError(f"two accounts are called {each.name}: give each a name of its own")
        if keys.setdefault(each.key, each.name) != each.name:
            raise ConfigError(f"{keys[each.key]} and {each.name} have one API key, and would have each order twice")
    return list(found.values())


def check_within(within: object) -> None:
    """Raise ConfigError unless *within* is a number of seconds, or None; below 0 there is no time for anything."""
    if within is not None:
        check_seconds("within", max(check_number("within", within), 0), zero=True)


def chosen(there: Mapping[str, K], wanted: Iterable[str] | None) -> dict[str, K]:
    """Return those of the accounts that are wanted, by name.

    Args:
        there: All accounts, by name.
        wanted: Names, such as ``MASTER``, ``USER:alice`` or just ``alice``; None: all.

    Raises:
        ConfigError: There is no such account; the message lists those there are.
    """
    if wanted is None:
        return dict(there)
    if isinstance(wanted, str):
        raise ConfigError(f"give a list of accounts, such as [{wanted!r}]")
    names = {name: name for name in there}
    return {found: there[found] for found in (account(names, name) for name in wanted)}


def by_name(scale: Scale, there: Mapping[str, Any]) -> Scale:
    """Return *scale* with the accounts' full names.

    Raises:
        ConfigError: One is not there, or a factor is not an exact number above 0.
    """
    if isinstance(scale, Decimal | int | str | float):
        return _exact("scale", scale)
    names = {name: name for name in there}
    return {account(names, name): _exact("scale", factor) for name, factor in scale.items()}


def tell(on_outcome: OnOutcome, outcome: Outcome[Any]) -> None:
    """Call *on_outcome*; what it raises is logged, for the other outcomes must not be lost."""
    if on_outcome is not None:
        try:
            on_outcome(outcome)
        except Exception:
            logger.exception("what was called with the outcome of %s failed", outcome.account)


def scaled(order: Mapping[str, Any], scale: Scale, name: str) -> dict[str, Any]:
    """Return the order that one account is sent: its volume times its scale, rounded down to 8 decimals.

    Args:
        order: Kraken's parameters of AddOrder.
        scale: A factor for all accounts, or one for each by name; an account that is not named has 1.
        name: Whose order it is.

    Raises:
        ConfigError: Volume or scale is not an exact number above 0, or too little is left.
    """
    factor = scale if isinstance(scale, Decimal | int | str | float) else scale.get(name, 1)
    volume = _exact("volume", order.get("volume")) * _exact("scale", factor)
    rounded = volume.quantize(_LOT, ROUND_DOWN)
    if rounded <= 0:
        raise ConfigError(f"the volume of {name}'s order is {volume:f}, which is less than Kraken takes")
    return {**order, "volume": format(rounded.normalize(), "f")}


def exact(balance: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return Kraken's balance with exact numbers."""
    with Reading("Balance"):
        return {asset: Decimal(str(amount)) for asset, amount in balance.items()}


def not_sent(name: str, why: str = "The time given for all calls ran out") -> Outcome[Any]:
    """Return the outcome of a call that there was no time for."""
    return Outcome(name, error=CallTimeout(f"{why} before this one was sent."))


def late(name: str, order: SentOrder | None = None, why: str = "The time given for all calls ran out") -> Outcome[Any]:
    """Return the outcome of a call that was not answered in time, and may have placed *order*."""
    ids = f" for its cl_ord_id {', '.join(order.cl_ord_ids)}" if order and order.cl_ord_ids else ""
    error = OutcomeUnknown(f"{why} while this one was under way: ask Kraken{ids}.")
    error.order = order
    return Outcome(name, error=error)


def with_id(method: str, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], SentOrder | None]:
    """Return what to send, and the order in it, named before it is sent: somebody may stop waiting for its answer."""
    if method != "AddOrder":
        return params, None
    name = prepared(method, params).params.get("cl_ord_id")
    fields = {**params, "cl_ord_id": name} if name else params
    return fields, SentOrder.of(Exchange(method, fields))


def _exact(what: str, value: object) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, Decimal | int | str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number <= 0:
        raise ConfigError(f"the {what} must be a number above 0, as a Decimal, text or whole number")
    return number
