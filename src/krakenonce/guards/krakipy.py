"""krakipy: ``_query_private()`` takes a nonce with ``_nonce()``, signs and sends, much as krakenex does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import refuse_repeats, replace
from krakenonce.key.funding import refuse_funding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.guards.turns import Turns


def knows(client: Any) -> bool:
    """Return whether this is krakipy's KrakenAPI."""
    return all(callable(getattr(client, name, None)) for name in ("_query_private", "_query", "_nonce"))


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    refuse_repeats(getattr(client.session, "session", None))  # its session has a session of requests
    replace(client, "_query_private", _query_private, turns)
    replace(client, "_nonce", _nonce, turns)


def _query_private(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    method: str,
    data: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> Any:
    refuse_funding(method)  # before the turn and a nonce
    turns.after_fork(client.session.session.close)
    with turns.lane(client._key, client._secret, method=method, params=data or {}):
        answer = send(method, dict(data or {}), turns.timeout if timeout is None else timeout)
        turns.heard(client._key, answer)
        return answer


def _nonce(_: Callable[..., Any], client: Any, turns: Turns) -> int:
    return turns.next(client._key)
