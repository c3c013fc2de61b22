"""kraken-py-sdk: ``RestClient.request()`` asks its ``nonce_provider`` for a nonce, signs and sends, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import decoded, replace
from krakenonce.key.funding import refuse_funding

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.guards.turns import Turns


def knows(client: Any) -> bool:
    """Return whether this is a RestClient."""
    return hasattr(client, "_authenticator") and all(
        callable(getattr(client, name, None)) for name in ("request", "request_model")
    )


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    replace(client, "request", _request, turns)
    if client._authenticator is not None:
        client._authenticator.nonce_provider = _Nonces(client._authenticator, turns)


async def _request(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    method: str,
    path: str,
    *,
    private: bool = False,
    body: Any = None,
    **how: Any,
) -> Any:
    refuse_funding(path, how.get("headers") or ())
    if not private or client._authenticator is None:
        return await send(method, path, private=private, body=body, **how)
    credentials = client._authenticator.credentials
    name, secret = path.rpartition("/private/")[2], credentials.api_secret.get_secret_value()
    params = {} if body is None else client._model_to_mapping(body)
    async with turns.lane(credentials.api_key, secret, method=name, params=params):
        response = await send(method, path, private=private, body=body, **how)
        turns.heard(credentials.api_key, decoded(response))
        return response


class _Nonces:
    """What the client asks for a nonce, with the turn in hand."""

    def __init__(self, authenticator: Any, turns: Turns) -> None:
        self._authenticator, self._turns = authenticator, turns

    def next_nonce(self) -> int:
        return self._turns.next(self._authenticator.credentials.api_key)
