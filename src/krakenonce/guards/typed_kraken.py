"""typed-kraken: three methods of ``HttpRpcClient`` ask ``nonce.next()`` for a nonce, sign and send, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import decoded, replace
from krakenonce.key.funding import refuse_funding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.guards.turns import Turns


_SENDING = ("authed_request", "authed_json_request", "authed_raw_request")


def knows(client: Any) -> bool:
    """Return whether this is an HttpRpcClient: ``kraken.spot_client`` of typed-kraken's Kraken."""
    return hasattr(client, "credentials") and all(
        callable(getattr(client, name, None)) for name in (*_SENDING, "result")
    )


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    for name in _SENDING:
        replace(client, name, _request, turns)
    replace(client, "result", _result, turns)
    client.nonce = _Nonces(client, turns)


async def _request(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    path: str,
    data: Mapping[str, Any] | None = None,
    **how: Any,
) -> Any:
    refuse_funding(path)
    if client.credentials is None:
        return await send(path, data, **how)  # it raises its own error, and sends nothing
    method, pair = path.rpartition("/private/")[2], client.credentials
    async with turns.lane(pair.api_key, pair.private_key, method=method, params=data or {}):
        return await send(path, data, **how)


def _result(unwrap: Callable[..., Any], client: Any, turns: Turns, response: Any, *more: Any, **how: Any) -> Any:
    if client.credentials is not None and "/private/" in str(getattr(response, "url", "")):
        turns.heard(client.credentials.api_key, decoded(response))
    return unwrap(response, *more, **how)


class _Nonces:
    """What the client asks for a nonce, with the turn in hand."""

    def __init__(self, client: Any, turns: Turns) -> None:
        self._client, self._turns = client, turns

    async def next(self) -> int:
        return self._turns.next(self._client.credentials.api_key)
