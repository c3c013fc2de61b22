"""Guarded calls that ended without Kraken's answer: which of them may have been executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.key.methods import Kind, kind_of
from krakenonce.kraken.noting import note_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from krakenonce.key.api_key import ApiKey


# What requests, urllib3, httpx, aiohttp and Python raise if there was no connection, so that nothing was sent.
_NO_CONNECTION = frozenset(
    {
        "NewConnectionError",
        "ConnectTimeoutError",
        "ConnectTimeout",
        "ConnectError",
        "ClientConnectorError",
        "ConnectionTimeoutError",
        "ConnectionRefusedError",
        "gaierror",
    }
)


def note_lost(api_key: ApiKey, method: str, params: Mapping[str, Any], error: BaseException | None) -> None:
    """Note a call that may have been executed although its sender does not know it; not one that only reads.

    Args:
        api_key: The key with which it was sent.
        method: Kraken's name of the method.
        params: Its parameters.
        error: With what it ended; None: Kraken has answered that it has a fault.
    """
    if kind_of(method, params) is not Kind.READ and not (error and _was_not_executed(error)):
        note_unknown(api_key, method, params, type(error).__name__ if error else "a fault at Kraken")


def _was_not_executed(error: BaseException) -> bool:
    """Whether there was no connection, or something in front of Kraken has refused the call with HTTP status 4xx."""
    for each in _causes(error):
        if not _NO_CONNECTION.isdisjoint(kind.__name__ for kind in type(each).__mro__):
            return True
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int) and 400 <= status < 500:
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those from which it came."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
