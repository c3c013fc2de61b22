"""krakenex: ``API.query_private`` takes a nonce with ``_nonce()``, signs, and sends with ``_query()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import refuse_repeats, replace
from krakenonce.key.funding import refuse_funding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.guards.turns import Turns


def knows(client: Any) -> bool:
    """Return whether this is a krakenex API."""
    return all(callable(getattr(client, name, None)) for name in ("query_private", "_query", "_nonce"))


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    refuse_repeats(getattr(client, "session", None))
    replace(client, "query_private", _query_private, turns)
    replace(client, "_query", _query, turns)
    replace(client, "_nonce", _nonce, turns)


def _query_private(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    method: str,
    data: Mapping[str, Any] | None = None,
    *more: Any,
    **options: Any,
) -> Any:
    refuse_funding(method)  # before the turn and a nonce
    with turns.lane(client.key, client.secret, method=method, params=data or {}):
        # A copy, because krakenex writes the nonce into the caller's parameters.
        answer = send(method, None if data is None else dict(data), *more, **options)
        turns.heard(client.key, answer)
        return answer


def _query(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    urlpath: str,
    data: Any,
    headers: Any = None,
    timeout: float | None = None,
) -> Any:
    turns.after_fork(client.session.close)
    refuse_funding(f"{client.uri}{urlpath}", headers or ())
    if timeout is None and "/private/" in urlpath:
        timeout = turns.timeout
    return send(urlpath, data, headers, timeout=timeout)


def _nonce(_: Callable[..., Any], client: Any, turns: Turns) -> int:
    return turns.next(client.key)
