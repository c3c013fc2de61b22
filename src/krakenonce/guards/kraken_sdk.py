"""python-kraken-sdk: ``request()`` takes a nonce with ``get_nonce()``, signs and sends, once and with a timeout.

All its Spot clients (``User``, ``Trade``, ``SpotWSClient`` and so on) are built on ``SpotClient`` or
``SpotAsyncClient``. The Futures clients use another API with nonces of its own; they are not guarded.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import replace
from krakenonce.key.funding import refuse_funding

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.guards.turns import Turns


_is_private: ContextVar[bool] = ContextVar(
    "krakenonce_is_private", default=False
)  # whether a call that has its turn is made


def knows(client: Any) -> bool:
    """Return whether this is one of the SDK's Spot clients."""
    return all(callable(getattr(client, name, None)) for name in ("request", "get_nonce", "_get_kraken_signature"))


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    replace(client, "request", _request_async if iscoroutinefunction(client.request) else _request, turns)
    replace(client, "get_nonce", _get_nonce, turns)
    replace(client._err_handler, "check", partial(_check, client), turns)  # it reads every answer from Kraken


def _request(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    method: str,
    uri: str,
    params: Any = None,
    *more: Any,
    **how: Any,
) -> Any:
    turns.after_fork(client._SpotClient__session.close)
    refuse_funding(uri)
    if not how.get("auth", True):
        return send(method, uri, params, *more, **how)
    with turns.lane(client._key, client._secret, method=_method(uri), params=params or {}):
        token = _is_private.set(True)
        try:
            return send(method, uri, _copy(params), *more, **how)
        finally:
            _is_private.reset(token)


async def _request_async(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    method: str,
    uri: str,
    params: Any = None,
    *more: Any,
    **how: Any,
) -> Any:
    refuse_funding(uri)
    if not how.get("auth", True):
        return await send(method, uri, params, *more, **how)
    async with turns.lane(client._key, client._secret, method=_method(uri), params=params or {}):
        token = _is_private.set(True)
        try:
            return await send(method, uri, _copy(params), *more, **how)
        finally:
            _is_private.reset(token)


def _check(client: Any, check: Callable[..., Any], _: Any, turns: Turns, answer: Any) -> Any:
    if _is_private.get():  # it reads public answers, too
        turns.heard(client._key, answer)
    return check(answer)


def _method(uri: str) -> str:
    return uri.rpartition("/private/")[2]


def _copy(params: Any) -> Any:
    """Return a copy, because the SDK writes the nonce into the caller's parameters."""
    return None if params is None else dict(params)


def _get_nonce(_: Callable[..., Any], client: Any, turns: Turns) -> str:
    return str(turns.next(client._key))
