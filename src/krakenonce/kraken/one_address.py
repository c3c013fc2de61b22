"""A resolver for one host, whose address was given: neither the hosts file nor DNS is asked."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult


class OneAddress(AbstractResolver):
    """Knows one host, and no other.

    Args:
        host: Its name.
        address: Its IP address.
    """

    def __init__(self, host: str, address: str) -> None:
        self._host = host
        self._address = address
        self._family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the address; the name stays that of the host. Raises OSError for another host, or another family."""
        if host != self._host or family not in (socket.AF_UNSPEC, self._family):
            raise OSError(None, f"only {self._address}, the address of {self._host}, is known")
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=self._family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Do nothing: nothing is open."""
