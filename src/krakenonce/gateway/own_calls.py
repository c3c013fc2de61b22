"""How the gateway notices that it calls itself: by a header of its own, and by a Kraken key that comes back to it."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from typing import TYPE_CHECKING

from krakenonce.kraken.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.kraken.async_transport import AsyncTransport


PATIENCE = 2.0  # seconds that the start waits for Kraken at most
_HEADER = "X-Krakenonce-Gateway"


class OwnCalls:
    """The header of a gateway's public calls, which no other gateway can know.

    Attributes:
        header: Its name and its value.
    """

    def __init__(self) -> None:
        self.header = {_HEADER: secrets.token_urlsafe(24)}
        self._came_back = False

    def is_own(self, headers: Mapping[str, str]) -> bool:
        """Return whether a call that arrives was sent by this gateway."""
        found = _is_same(headers.get(_HEADER, ""), self.header[_HEADER])
        self._came_back = self._came_back or found
        return found

    async def come_back(self, transport: AsyncTransport) -> bool:
        """Make one public call and return whether it arrives here; no later than after two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await transport.knock(Request("GET", "/0/public/Time", dict(self.header), None))
        return self._came_back


def owner_of(key: str, accounts: Mapping[str, KrakenAccount]) -> str | None:
    """Return the account whose Kraken key this is; None if it is none of the gateway's.

    Args:
        key: The ``API-Key`` that a client has sent.
        accounts: The accounts with their Kraken keys, by name.
    """
    pairs = [(name, pair.key) for name, each in list(accounts.items()) for pair in each.account.keys]
    found = [name for name, known in pairs if _is_same(key, known)]  # each time as long
    return found[0] if found else None


def _is_same(given: str, secret: str) -> bool:
    """Compare in a time that does not show how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
