"""The tokens of GetWebSocketsToken: for whom each was issued, and when."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.testing.accounts import FakeAccount

LIFETIME = 900  # seconds


def issue(account: FakeAccount, now: float) -> str:
    """Return a new token of an account."""
    token = secrets.token_urlsafe(32)
    account.ws_tokens[token] = now
    return token


def owner_of(accounts: Iterable[FakeAccount], token: object, now: float, *, is_in_use: bool) -> FakeAccount:
    """Return the account for which a token was issued.

    Args:
        accounts: All accounts.
        token: The token that was sent.
        now: Seconds since 1970.
        is_in_use: Whether the age of the token does not matter.

    Raises:
        Refused: It was not issued, it is too old or removed, or its account may not have tokens any more.
    """
    for account in accounts:
        issued = account.ws_tokens.get(token) if isinstance(token, str) else None
        if issued is not None and (is_in_use or now - issued <= LIFETIME):
            if "create-ws-token" in account.permissions:
                return account
            break
    raise Refused("ESession:Invalid session")
