"""From Kraken's error strings to exceptions that say what happened and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.errors import InvalidNonce, KrakenAPIError, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["error_from", "result_of"]

# What Kraken writes after the category, in lower case -> what happened and what to do. The same text occurs
# under several categories (EAPI:, EOrder:, EAuth:), and its capitals differ ("Unknown Method" has been seen).
_ADVICE = {
    "invalid nonce": (
        "Kraken has already accepted a number at least as large from this key. Another program uses "
        "the key, or used it with larger numbers: give every program its own key, or let all of "
        "them take their numbers here."
    ),
    "invalid key": (
        "Kraken does not know this API key: it was mistyped, deleted or has expired. Do not repeat the call, "
        "too many of these lock the account out for a while."
    ),
    "invalid signature": (
        "The API secret does not belong to this API key, or the request was changed on its way. Do not "
        "repeat the call, check the secret."
    ),
    "permission denied": "The API key lacks the permission for this call: change its settings at Kraken.",
    "rate limit exceeded": "Too many calls in a short time: wait a few seconds and call less often.",
    "temporary lockout": (
        "Kraken has locked this account or address out after too many failed calls: stop all calls for 15 minutes."
    ),
    "unknown method": "Kraken has no such method: check its spelling and whether it is public or private.",
}

# After these an order may have been placed all the same.
_UNKNOWN_OUTCOME = ("EService:", "EGeneral:Internal error")


def error_from(strings: Sequence[str]) -> KrakenAPIError:
    """Return the exception for Kraken's error strings; the caller raises it.

    Args:
        strings: The ``error`` list of an answer, such as ``["EGeneral:Permission denied"]``.

    Returns:
        An :class:`InvalidNonce` for ``EAPI:Invalid nonce``, else a :class:`KrakenAPIError`. Its
        ``may_have_executed`` is ``"unknown"`` after ``EService:...`` and ``EGeneral:Internal error``.
    """
    errors = tuple(strings)
    kind = InvalidNonce if any(error.startswith("EAPI:Invalid nonce") for error in errors) else KrakenAPIError
    advice = next(filter(None, map(_advice_for, errors)), None)
    message = f"Kraken answered: {', '.join(errors) or 'an error without a text'}"
    failure = kind(f"{message}. {advice}" if advice else message, errors)
    if any(error.startswith(_UNKNOWN_OUTCOME) for error in errors):
        failure.may_have_executed = "unknown"
    return failure


def _advice_for(error: str) -> str | None:
    text = error.partition(":")[2].lower()
    return next((advice for start, advice in _ADVICE.items() if text.startswith(start)), None)


def result_of(reply: Mapping[str, Any]) -> Any:
    """Return the ``result`` of an answer that Kraken gave.

    Args:
        reply: The decoded answer, with ``error`` and ``result``. Warnings (``W...``) are not failures.

    Raises:
        KrakenAPIError: ``error`` holds at least one ``E...`` string.
        OutcomeUnknown: Neither an error nor a result.
    """
    listed = reply.get("error")
    errors = [str(error) for error in listed] if isinstance(listed, list | tuple) else []
    if any(error.startswith("E") for error in errors):
        raise error_from(errors)
    result = reply.get("result")
    if result is None:
        raise OutcomeUnknown("Kraken answered with neither a result nor an error.")
    return result
