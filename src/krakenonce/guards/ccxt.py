"""ccxt: ``fetch2()`` waits for the rate limit, signs with ``sign()`` and sends with ``fetch()``, again on a failure.

The lane is held for ``fetch()`` alone, so no caller waits for another caller's rate limit or pause. But ``fetch()``
comes after signing, and a nonce has to be taken within the lane. So ``fetch()`` signs again. The first signature is
discarded, and its nonce with it; it is needed by programs that call ``sign()`` themselves.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from krakenonce.guards.turns import refuse_repeats, replace
from krakenonce.key.funding import refuse_funding
from krakenonce.key.methods import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.guards.turns import Turn, Turns


def knows(client: Any) -> bool:
    """Return whether this is ccxt's kraken, synchronous or not, or built on it."""
    return any(kind.__name__ == "kraken" for kind in type(client).__mro__) and all(
        callable(getattr(client, name, None)) for name in ("fetch2", "sign", "fetch", "nonce")
    )


def attach(client: Any, turns: Turns) -> None:
    """Change *client*."""
    refuse_repeats(getattr(client, "session", None))
    replace(client, "fetch", _fetch_async if iscoroutinefunction(client.fetch) else _fetch, turns)
    replace(client, "fetch2", _fetch2, turns)
    replace(client, "sign", _sign, turns)
    replace(client, "handle_errors", _handle_errors, turns)
    for name in ("nonce", "incrementing_nonce"):  # older versions have only the first
        if hasattr(client, name):
            replace(client, name, _nonce, turns)


class _Signed(dict[str, str]):
    """The headers of a signed request, which can sign the request again."""

    lane: Turn
    sign_again: Callable[[], dict[str, Any]]


def _sign(
    sign: Callable[..., dict[str, Any]],
    client: Any,
    turns: Turns,
    path: str,
    api: Any = "public",
    *more: Any,
    **how: Any,
) -> dict[str, Any]:
    if not _is_private(api):
        return sign(path, api, *more, **how)
    refuse_funding(path)  # before a nonce is taken
    params = how.get("params") or (more[1] if len(more) > 1 else None) or {}
    lane = turns.lane(client.apiKey, client.secret, method=path, params=params)

    def sign_again() -> dict[str, Any]:
        return sign(path, api, *more, **how)

    request = sign_again()
    headers = _Signed(request["headers"])
    headers.lane, headers.sign_again = lane, sign_again
    return {**request, "headers": headers}


def _is_private(api: Any) -> bool:
    return "private" in (api if isinstance(api, list | tuple) else [api])


def _fetch(
    send: Callable[..., Any],
    client: Any,
    turns: Turns,
    url: str,
    method: str = "GET",
    headers: Any = None,
    body: Any = None,
) -> Any:
    turns.after_fork(client.session.close)
    refuse_funding(url, headers or ())
    if not isinstance(headers, _Signed):
        return send(url, method, headers, body)
    with headers.lane:
        return send(*_signed_again(client, headers))


async def _fetch_async(
    send: Callable[..., Any],
    client: Any,
    _: Turns,
    url: str,
    method: str = "GET",
    headers: Any = None,
    body: Any = None,
) -> Any:
    refuse_funding(url, headers or ())
    if not isinstance(headers, _Signed):
        return await send(url, method, headers, body)
    async with headers.lane:
        return await send(*_signed_again(client, headers))


def _handle_errors(
    check: Callable[..., Any], client: Any, turns: Turns, code: Any, reason: Any, url: str, *more: Any, **how: Any
) -> Any:
    if "/private/" in url and len(more) > 3:
        turns.heard(client.apiKey, more[3], code)  # the decoded answer comes after verb, headers and body
    return check(code, reason, url, *more, **how)


def _signed_again(client: Any, headers: _Signed) -> tuple[Any, Any, Any, Any]:
    request = headers.sign_again()
    client.last_request_headers = request["headers"]
    client.last_request_body = request["body"]
    client.last_request_url = request["url"]
    return request["url"], request["method"], request["headers"], request["body"]


def _fetch2(
    call: Callable[..., Any],
    client: Any,
    _: Turns,
    path: str,
    api: Any = "public",
    method: str = "GET",
    params: Any = None,
    *more: Any,
    **how: Any,
) -> Any:
    params = {} if params is None else params
    # Reads and cancels by txid may be repeated, each time with a new nonce. All other calls are sent once.
    if _is_private(api) and kind_of(path, params) not in (Kind.READ, Kind.CANCEL):
        tries, _rest = client.handle_option_and_params(params, path, "maxRetriesOnFailure", 0)
        if tries:
            params = {**params, "maxRetriesOnFailure": 0}
    return call(path, api, method, params, *more, **how)


def _nonce(_: Callable[..., Any], client: Any, turns: Turns) -> int:
    return turns.next(client.apiKey)
