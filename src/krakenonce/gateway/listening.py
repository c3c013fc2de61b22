"""Where a gateway listens, and with which certificate."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from krakenonce.gateway.server import GatewayServer
    from krakenonce.gateway.settings import Settings


_ADDRESS = re.compile(r"(\[(?P<ipv6>[0-9A-Fa-f:.]+(%\w+)?)\]|(?P<host>[^\s\[\]:/?#@]+)):(?P<port>[0-9]{1,5})")
_LARGEST_PORT = 65_535


async def listen(server: GatewayServer, settings: Settings) -> str:
    """Let a server listen where the settings say; return the base URL for clients. Raises ConfigError."""
    tls = tls_context(settings)
    address = checked_address(settings, tls)
    if address is None:
        path = Path(settings.listen.removeprefix("unix:"))
        try:
            await server.start_unix(path)
        except OSError as error:
            raise ConfigError(f"cannot listen on {path} ({error.strerror or error})") from error
        return settings.listen
    host, port = address
    try:
        port_taken = await server.start(host, port, tls)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be a host's
        raise ConfigError(
            f"cannot listen on {settings.listen} ({getattr(error, 'strerror', None) or error}): choose another --listen"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port_taken}"


def checked_address(settings: Settings, tls: ssl.SSLContext | None) -> tuple[str, int] | None:
    """Return host and port; None: it is a Unix socket.

    Args:
        settings: Where to listen.
        tls: The certificate.

    Raises:
        ConfigError: Nothing can listen there, or it may only with a certificate, or without one.
    """
    if settings.listen.startswith("unix:"):
        if tls is not None:
            raise ConfigError("a Unix socket uses no TLS; leave out --tls-cert and --tls-key, or listen on an address")
        return None
    host, port = address_of(settings.listen)
    if tls is None and not _is_loopback(host):
        raise ConfigError(
            f"--listen {settings.listen} can be reached from other machines and needs TLS; give --tls-cert and "
            "--tls-key, or listen on 127.0.0.1"
        )
    return host, port


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[::1]:PORT``. Raises ConfigError for anything else."""
    found = _ADDRESS.fullmatch(listen)
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise ConfigError(f"--listen must look like 127.0.0.1:8686 or unix:/run/krakenonce.sock, not {listen!r}")
    return found["ipv6"] or found["host"], int(found["port"])


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):  # a name
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the certificate; None: there is none. Raises ConfigError if it cannot be used."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigError("give both --tls-cert and --tls-key")

    def no_passphrase() -> str:  # without this OpenSSL would ask for it on the terminal
        raise ConfigError(
            f"{settings.tls_key} has a passphrase; use a key file without one, which only this user can read"
        )

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {settings.tls_cert} with {settings.tls_key}: {error}") from None
    return context
