"""Turns Kraken's error strings into exceptions that say what happened and what to do.

A new string is one more line in ``_CLASSES``, with a class of ``errors.py``.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from krakenonce import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


# How a string begins, in lower case: the capitals differ ("Unknown Method" has been seen). After it comes nothing, or
# a colon and details. The strings are from Kraken's pages on errors and limits, its SDK, and users' reports.
_CLASSES: dict[type[errors.KrakenAPIError], tuple[str, ...]] = {
    errors.InvalidNonce: ("eapi:invalid nonce",),
    errors.InvalidKey: ("eapi:invalid key",),
    errors.InvalidSignature: ("eapi:invalid signature",),
    errors.InvalidToken: ("eapi:invalid token", "esession:invalid session"),
    errors.PermissionDenied: ("egeneral:permission denied", "eaccount:invalid permissions"),
    errors.AccountRefused: (
        "eauth:failed",
        "eauth:account temporary disabled",
        "eauth:account unconfirmed",
        "etrade:locked",
    ),
    errors.InvalidArguments: (
        "eapi:bad request",
        "eapi:invalid arguments",
        "eapi:feature disabled",
        "egeneral:feature disabled",
        "egeneral:invalid arguments",
        "etrade:invalid request",
    ),
    errors.UnknownMethod: ("egeneral:unknown method",),
    errors.UnknownAsset: ("equery:unknown asset pair", "equery:unknown asset", "efunding:unknown asset"),
    errors.RateLimited: (
        "eapi:rate limit exceeded",
        "eauth:rate limit exceeded",
        "eauth:too many requests",
        "egeneral:too many requests",
        "eorder:rate limit exceeded",
        "eorder:domain rate limit exceeded",
    ),
    errors.Throttled: ("eservice:throttled",),
    errors.LockedOut: ("egeneral:temporary lockout",),
    errors.ServiceUnavailable: (
        "egeneral:internal error",
        "eservice:busy",
        "eservice:timeout",
        "eservice:unavailable",
    ),
    errors.MarketRestricted: ("eservice:market in cancel_only mode", "eservice:market in post_only mode"),
    errors.DeadlineElapsed: ("eservice:deadline elapsed",),
    errors.InsufficientFunds: (
        "eorder:insufficient funds",
        "eorder:insufficient margin",
        "eorder:margin allowance exceeded",
        "eorder:margin level too low",
        "eorder:margin position size exceeded",
    ),
    errors.InvalidOrder: (
        "eorder:cost minimum not met",
        "eorder:invalid price",
        "eorder:order minimum not met",
        "eorder:tick size check failed",
    ),
    errors.OrderLimitExceeded: (
        "ebm:limit exceeded",
        "eorder:orders limit exceeded",
        "eorder:positions limit exceeded",
        "eorder:scheduled orders limit exceeded",
    ),
    errors.PositionRefused: (
        "eorder:cannot open opposing position",
        "eorder:cannot open position",
        "eorder:reduce only",
        "eorder:unknown position",
    ),
    errors.UnknownOrder: ("eorder:invalid order", "eorder:unknown order"),
    errors.DuplicateOrder: ("eorder:duplicate cl_ord_id",),
    errors.FundingRefused: (
        "efunding:invalid amount",
        "efunding:invalid reference id",
        "efunding:max fee exceeded",
        "efunding:no funding method",
        "efunding:too many addresses",
        "efunding:unknown reference id",
        "efunding:unknown withdraw key",
    ),
    errors.EarnRefused: (
        "eearnings:above max",
        "eearnings:below min",
        "eearnings:busy",
        "eearnings:insufficient funds",
        "eearnings:permission denied",
    ),
}
_KNOWN = {text: kind for kind, texts in _CLASSES.items() for text in texts}
_SHOWN = 400  # characters of Kraken's strings in a message
_THROTTLED_UNTIL = re.compile(r"EService: ?Throttled: ?\[?(\d{1,12})")


def error_from(strings: Sequence[str], now: float | None = None) -> errors.KrakenAPIError:
    """Return the exception for Kraken's error strings; the caller raises it.

    Args:
        strings: The ``error`` list of an answer, such as ``["EGeneral:Permission denied"]``.
        now: Seconds since 1970, to compute how long ``EService:Throttled`` lasts; None: not computed.

    Returns:
        An instance of the first known string's class, but of InvalidNonce if that is among them, and of
        UnknownKrakenError if none is known. ``may_have_executed`` is ``"unknown"`` if it is so for any of the strings.
    """
    strings = tuple(strings)
    kinds = [_kind_of(string) for string in strings if not string.startswith("W")] or [errors.UnknownKrakenError]
    known = [kind for kind in kinds if kind is not errors.UnknownKrakenError]
    kind = errors.InvalidNonce if errors.InvalidNonce in known else (known or kinds)[0]
    error = kind(f"Kraken answered: {shown(strings) or 'an error without text'}. {advice(kind)}".strip(), strings)
    if any(each.may_have_executed == "unknown" for each in kinds):
        error.may_have_executed = "unknown"
    until = _THROTTLED_UNTIL.match(strings[0]) if strings else None
    if isinstance(error, errors.Throttled) and until and now is not None:
        error.retry_after = max(0.0, int(until[1]) - now)
    return error


def shown(strings: tuple[str, ...]) -> str:
    """Return Kraken's strings for a message: one short line that is safe in logs and terminals."""
    text = ", ".join(strings)
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def advice(kind: type[errors.KrakenError]) -> str:
    """Return the class's docstring as one line; empty if docstrings are switched off."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:")[0]
    return " ".join(text.split())


def _kind_of(string: str) -> type[errors.KrakenAPIError]:
    text = string.lower().replace("eservice: throttled", "eservice:throttled")
    parts = text.split(":")
    return _KNOWN.get(":".join(parts[:2]), errors.UnknownKrakenError)


def refusal_in(reply: Mapping[str, Any], now: float | None = None) -> errors.KrakenAPIError | None:
    """Return the error that Kraken answered with; None if there is none. Warnings (``W...``) are not errors.

    Args:
        reply: The decoded answer, with ``error`` and ``result``.
        now: As for :func:`error_from`.
    """
    strings = _strings(reply.get("error"))
    return error_from(strings, now) if any(not string.startswith("W") for string in strings) else None


def _strings(listed: Any) -> list[str]:
    return [str(error) for error in listed] if isinstance(listed, list | tuple) else [str(listed)] if listed else []


def result_of(reply: Mapping[str, Any], now: float | None = None) -> Any:
    """Return the ``result`` of Kraken's answer.

    Args:
        reply: The decoded answer, with ``error`` and ``result``. Warnings (``W...``) are not errors.
        now: As for :func:`error_from`.

    Raises:
        KrakenAPIError: ``error`` has at least one string that is not a warning.
        OutcomeUnknown: There is neither an error nor a result.
    """
    refusal = refusal_in(reply, now)
    if refusal is not None:
        raise refusal
    result = reply.get("result")
    # Without a list of errors it is not an answer of Kraken's API.
    if result is None or not isinstance(reply.get("error"), list | tuple):
        raise errors.OutcomeUnknown(
            "The answer has neither a result nor an error. The call may have been executed: ask Kraken."
        )
    return result


class Reading:
    """A block that reads a result. A result of an unexpected form raises OutcomeUnknown, because the call was made.

    Args:
        method: Kraken's name of the method.
        order: The order that may have been placed, if any.
    """

    def __init__(self, method: str, order: object = None) -> None:
        self._method, self._order = method, order

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _UNREADABLE) and not isinstance(error, errors.KrakenonceError):
            odd = errors.OutcomeUnknown(
                f"Kraken's answer to {self._method} has no error, but not the expected form. "
                "The call was probably executed: ask Kraken."
            )
            odd.order = self._order
            raise odd from error


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
