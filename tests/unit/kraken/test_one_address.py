"""The resolver for the host whose address was given."""

from __future__ import annotations

import asyncio
import socket

import pytest

from krakenonce.kraken.one_address import OneAddress


@pytest.mark.parametrize(
    ("address", "family"), [("203.0.113.7", socket.AF_INET), ("2001:db8::7", socket.AF_INET6)], ids=["IPv4", "IPv6"]
)
def test_the_host_has_the_given_address_alone(address: str, family: socket.AddressFamily) -> None:
    """Under its own name, for which TLS asks."""
    (found,) = asyncio.run(OneAddress("api.kraken.com", address).resolve("api.kraken.com", 443))
    assert (found["hostname"], found["host"], found["port"]) == ("api.kraken.com", address, 443)
    assert found["family"] == family


@pytest.mark.parametrize(
    ("host", "family"), [("www.kraken.com", socket.AF_UNSPEC), ("api.kraken.com", socket.AF_INET6)]
)
def test_nothing_else_is_known(host: str, family: socket.AddressFamily) -> None:
    """Another host, and another kind of address."""
    with pytest.raises(OSError, match=r"only 203\.0\.113\.7, the address of api\.kraken\.com, is known"):
        asyncio.run(OneAddress("api.kraken.com", "203.0.113.7").resolve(host, 443, family))
