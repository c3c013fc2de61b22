"""Where a gateway may listen, before anything listens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import ConfigError
from krakenonce.gateway import listening
from krakenonce.gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8686", ("127.0.0.1", 8686)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),  # noqa: S104 - it is only read
    ],
)
def test_an_address_is_a_host_and_a_port(listen: str, address: tuple[str, int]) -> None:
    """IPv6 in brackets, as in a URL."""
    assert listening.address_of(listen) == address


NO_ADDRESS = (
    *("", ":", "8686", "127.0.0.1", ":8686", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "[::1:80"),
    *("http://127.0.0.1:80", "127.0.0.1:80/", "127.0.0.1:80?x", "me@127.0.0.1:80"),
)
LOOPBACK = ("127.0.0.1", "127.0.0.2", "::1", "localhost")
OPEN = ("0.0.0.0", "::", "192.0.2.1", "example.org")  # noqa: S104 - they are only read


@pytest.mark.parametrize("listen", NO_ADDRESS)
def test_what_is_no_address_is_an_error_that_shows_two(listen: str) -> None:
    """Not taken for something else."""
    with pytest.raises(ConfigError, match=r"must look like 127\.0\.0\.1:8686 or unix:"):
        listening.address_of(listen)


@pytest.mark.parametrize("host", [*LOOPBACK, *OPEN])
def test_only_loopback_needs_no_certificate(host: str) -> None:
    """All of 127.0.0.0/8, ::1 and localhost are this machine's own."""
    assert listening._is_loopback(host) is (host in LOOPBACK)


def test_a_certificate_for_a_unix_socket_is_a_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would be ignored, and its user would think that it is used."""
    monkeypatch.setattr(listening, "tls_context", lambda _: object())
    with pytest.raises(ConfigError, match="a Unix socket uses no TLS"):
        asyncio.run(listening.listen(object(), Settings(listen=f"unix:{tmp_path / 'socket'}")))  # type: ignore[arg-type]
