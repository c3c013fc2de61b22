"""How strict the fake Kraken is, and how it answers where Kraken's documentation does not say it."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal, get_args

from krakenonce.errors import ConfigError

Status = Literal["online", "maintenance", "cancel_only", "post_only"]
Tier = Literal["starter", "intermediate", "pro"]
_Failure = Literal["error only", "result null", "result {}"]
_CHOICES: dict[str, tuple[object, ...]] = {
    "status": get_args(Status),
    "tier": (*get_args(Tier), None),
    "failure": get_args(_Failure),
    "check_funds": (True, False, None),
}


@dataclass(slots=True, kw_only=True)
class Rules:
    """Switches; each may be set at any time, also while the server runs.

    Args:
        status: The answer of SystemStatus, and the mode in which orders are refused.
        tier: The tier whose rate limits are applied; ``None`` for no limits.
        closed_orders_cost: What ClosedOrders costs in the REST counter: 1 or 2.
        max_in_flight: How many requests of an account may be in flight at once; 0 for no limit.
        lockout_after: How many consecutive invalid keys, signatures or nonces lock a key out; 0 for never.
        lockout_within: Seconds within which they come.
        lockout_seconds: How long the lockout lasts.
        sig_before_nonce: Whether the signature is checked before the nonce is compared.
        failed_sig_consumes_nonce: Whether a request with a bad signature uses up its nonce.
        window_includes_edge: Whether a nonce window of N accepts the nonce that is exactly N below the last one.
        window_allows_duplicates: Whether a nonce window accepts a nonce that was accepted before.
        check_funds: Whether orders need funds; ``None``: only those of accounts with balances.
        taker_fee: The fee of the incoming order, as a part of the cost.
        maker_fee: The fee of the resting order, as a part of the cost.
        min_deadline: The least seconds from the arrival of an order to its deadline.
        max_deadline: The most seconds from the arrival of an order to its deadline.
        clock_ahead: Seconds by which Kraken's clock is ahead of this machine's; negative: behind.
        failure: The form of an answer that is an error.
        otp_error: The error for a missing or wrong ``otp``.
        duplicate_cl_ord_id_error: The error for the ``cl_ord_id`` of an open order.
        unknown_order_error: The error for an order that does not exist.
        edits_named_orders: Whether EditOrder edits an order that has a ``cl_ord_id``.
        token_outlives_its_time: Whether a WebSocket token is good after 15 minutes on a connection that has used it to
            subscribe.
    """

    status: Status = "online"
    tier: Tier | None = None
    closed_orders_cost: int = 1
    max_in_flight: int = 0
    lockout_after: int = 0
    lockout_within: float = 60.0
    lockout_seconds: float = 900.0
    sig_before_nonce: bool = True
    failed_sig_consumes_nonce: bool = False
    window_includes_edge: bool = False
    window_allows_duplicates: bool = True
    check_funds: bool | None = None
    taker_fee: Decimal = Decimal("0.0026")
    maker_fee: Decimal = Decimal("0.0016")
    min_deadline: float = 2.0
    max_deadline: float = 60.0
    clock_ahead: float = 0.0
    failure: _Failure = "error only"
    otp_error: str = "EAPI:Invalid otp"
    duplicate_cl_ord_id_error: str = "EOrder:Duplicate cl_ord_id"
    unknown_order_error: str = "EOrder:Invalid order"  # so Kraken's SDK; older reports have "EOrder:Unknown order"
    edits_named_orders: bool = False
    token_outlives_its_time: bool = True

    @property
    def held_fee(self) -> Decimal:
        """The fee that buyers set aside, as a part of the cost: which one they will pay is not known yet."""
        return max(self.taker_fee, self.maker_fee)

    def change(self, /, **wanted: Any) -> None:
        """Change some of the rules; if one cannot be changed, none is.

        Raises:
            ConfigError: There is no such rule, or it cannot have this value.
        """
        checked = {name: self._checked(name, value) for name, value in wanted.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def described(self) -> dict[str, Any]:
        """Return the rules as JSON has them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}

    def _checked(self, name: str, value: Any) -> Any:
        names = [each.name for each in fields(self)]
        if name not in names:
            raise ConfigError(f"There is no rule {name!r}; there are: {', '.join(names)}.")
        if name == "clock_ahead" and type(value) in (int, float) and math.isfinite(value):
            return float(value)
        if name not in _CHOICES:
            return _like(name, getattr(self, name), value)
        if value not in _CHOICES[name]:
            raise ConfigError(f"The rule {name!r} must be one of {', '.join(map(repr, _CHOICES[name]))}.")
        return value


def _like(name: str, present: object, value: Any) -> Any:
    """Return *value* in the type that the rule has now."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    match present:
        case bool() | int() | str() if type(value) is type(present) and (is_number or type(value) is not int):
            return value
        case float() if is_number:
            return float(value)
        case Decimal():
            with suppress(ArithmeticError):
                if 0 <= Decimal(str(value)) < 1:
                    return Decimal(str(value))
    raise ConfigError(f"The rule {name!r} cannot be {value!r}; it is a {type(present).__name__}, such as {present}.")
