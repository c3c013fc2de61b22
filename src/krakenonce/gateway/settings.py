"""How a gateway runs, and with which state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """How a gateway runs.

    Args:
        state: The state directory, or the URL of a backend; None: the default one.
        credentials: The TOML file with the accounts; None: as for the command line.
        base_url: Kraken's address.
        connect_to: The IP address of its host; None: that to which its name leads on this machine.
        listen: ``HOST:PORT``, or ``unix:PATH``.
        tls_cert: A PEM file with the certificate, needed for all addresses except loopback and Unix sockets.
        tls_key: A PEM file with the certificate's private key.
        queue_length: How many calls may wait for one Kraken key.
        max_wait: Seconds that a call may wait for the rate limit, and again for its turn.
        timeout: Seconds to wait for each piece of Kraken's answer.
        order_timeout: Seconds to wait for the answer to an order; then Kraken is asked what became of it.
        audit: The file of the audit log; ``-``: stdout; None: one in the state directory.
        no_audit: Whether there is no audit log.
    """

    state: str | None = None
    credentials: Path | None = None
    base_url: str = "https://api.kraken.com"
    connect_to: str | None = None
    listen: str = "127.0.0.1:8686"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    queue_length: int = 100
    max_wait: float = 30.0
    timeout: float = 30.0
    order_timeout: float = 4.0
    audit: str | None = None
    no_audit: bool = False


def credentials_path(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the accounts' file: the given one, else ``krakenonce.toml`` in systemd's credentials directory."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if given is not None or not directory or environ.get("KRAKENONCE_CREDENTIALS"):
        return given
    found = Path(directory) / "krakenonce.toml"
    try:
        os.stat(found)
    except FileNotFoundError:
        return None
    except OSError:
        pass  # reported when the file is read
    return found


def open_state(state: str | None) -> NonceManager:
    """Return the state that a gateway uses. Raises ConfigError if no other process can use it."""
    manager = NonceManager(state)
    if manager.store.shared == "process":
        raise ConfigError(
            "--state must be a directory or a database: the gateway keeps its local keys and its record of sent calls "
            "there, and what is in memory ends with the process"
        )
    return manager
