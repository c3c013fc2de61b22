"""The tokens of GetWebSocketsToken: for which API key each was issued, and when."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.testing.keys import ApiKey

LIFETIME = 900  # seconds


def issue(key: ApiKey, now: float) -> str:
    """Return a new token of a key."""
    token = secrets.token_urlsafe(32)
    key.ws_tokens[token] = now
    return token


def owner_of(keys: Iterable[ApiKey], token: object, now: float, *, is_in_use: bool) -> ApiKey:
    """Return the key for which a token was issued.

    Args:
        keys: All keys.
        token: The token that was sent.
        now: Seconds since 1970.
        is_in_use: Whether the age of the token does not matter.

    Raises:
        Refused: It was not issued, it is too old or removed, or its key is revoked, has expired, or may not have tokens
            any more.
    """
    for key in keys:
        issued = key.ws_tokens.get(token) if isinstance(token, str) else None
        if issued is not None and (is_in_use or now - issued <= LIFETIME):
            if key.is_valid(now) and "create-ws-token" in key.permissions:
                return key
            break
    raise Refused("ESession:Invalid session")
