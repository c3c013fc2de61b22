"""Turns Kraken's error strings into exceptions that say what happened and what to do."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from krakenonce import errors
from krakenonce.key.strings import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


_SHOWN = 400  # characters of Kraken's strings in a message
_FORM = re.compile(r"E[A-Z][A-Za-z]*:")
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
    kinds = [kind_of(string) for string in strings if not string.startswith("W")] or [errors.UnknownKrakenError]
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


def may_pass(error: errors.KrakenError) -> bool:
    """Return whether a call that changes nothing may be made again: there was no answer, or a passing fault at Kraken.

    A refusal in words that are not known is never repeated: it may cost the account's limits, or count as a wrong code.
    """
    faults = (kind_of(string) is errors.ServiceUnavailable for string in getattr(error, "errors", ()))
    return isinstance(error, errors.OutcomeUnknown) or (isinstance(error, errors.ServiceUnavailable) and all(faults))


def refusal_in(reply: Mapping[str, Any], now: float | None = None) -> errors.KrakenAPIError | None:
    """Return the error that Kraken answered with; None if there is none. Warnings (``W...``) are not errors.

    Args:
        reply: The decoded answer, with ``error`` and ``result``.
        now: As for :func:`error_from`.
    """
    listed = reply.get("error")
    if not listed:
        return None
    strings = _strings(listed)
    return error_from(strings, now) if any(not string.startswith("W") for string in strings) else None


def is_of_kraken(reply: object) -> bool:
    """Return whether decoded JSON is a refusal in Kraken's form, such as ``EGeneral:...``, and not another server's."""
    strings = _strings(reply.get("error")) if isinstance(reply, dict) else []
    return any(_FORM.match(string) for string in strings)


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
