"""Kraken's Funding API through a guarded client: its nonce would be the client's own, so nothing is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from krakenonce.guards import guard
from tests.integration.guard.families import FAMILIES, Family, close, is_free, settled

if TYPE_CHECKING:
    from krakenonce.manager import NonceManager
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

HEADERS = {"API-Key": "k", "api-nonce": "1"}


def ways(family: Family, client: Any, url: str) -> list[tuple[Any, ...]]:
    """Each way in which a client of this family could send such a call: a function and its arguments."""
    if family.name.startswith("krakenex"):
        return [
            (client.query_private, "../../funding/v1/withdrawals"),
            (client._query, "/funding/v1/withdrawals", {}, {}),
            (client._query, "/0/private/Balance", {}, HEADERS),
        ]
    if family.name.startswith("ccxt"):
        return [
            (client.fetch2, "../../funding/v1/withdrawals", "private", "POST"),
            (client.fetch, f"{url}/funding/v1/withdrawals", "POST"),
            (client.fetch, f"{url}/0/private/Balance", "POST", HEADERS),
        ]
    return [
        (client.request, "POST", "/funding/v1/withdrawals"),
        (client.request, "GET", "/0/public/../../funding/v1/x"),
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_guarded_client_sends_nothing_to_the_funding_api(
    family: Family, account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Not by its path, nor with the nonce in a header; the turn is free, and no nonce was used."""

    async def whole() -> None:
        client = guard(family.make(account.key, account.secret, server.url), manager)
        try:
            for function, *words in ways(family, client, server.url):
                with pytest.raises(ConfigError, match="Kraken's Funding API"):
                    await settled(function(*words))
        finally:
            await close(client)

    asyncio.run(whole())
    assert fake.arrivals == []
    assert is_free(manager, account.key)
    assert manager.peek() is None
