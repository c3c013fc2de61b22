"""The demo's gateway: a process of its own, with a local key for each account."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from krakenonce.brokers.credentials import Account, variables
from krakenonce.errors import KrakenonceError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.local_keys import FILE_NAME, LocalKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    NamedKeys: TypeAlias = tuple[str, list[tuple[str, str]]]  # an account's name, and its keys with their secrets


@contextlib.contextmanager
def gateway_for(accounts: Sequence[NamedKeys], kraken: str, state: str) -> Iterator[tuple[str, list[NamedKeys]]]:
    """Run a gateway. Yields its address, and the accounts with a local key each instead of Kraken's.

    Args:
        accounts: Name and keys of each, with their secrets.
        kraken: Kraken's address.
        state: An empty directory.

    Raises:
        KrakenonceError: The gateway does not start.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KRAKEN")}
    local_keys, allowed = LocalKeys(Path(state) / FILE_NAME), parse_groups(["query", "trade"])
    pairs: list[NamedKeys] = []
    for name, keys in accounts:
        environment |= variables(Account(name, keys=keys, tier="none"))
        pair = local_keys.add(name.replace(":", "."), name, allowed)
        pairs.append((name, [(pair.key, pair.secret)]))
    command = [sys.executable, "-m", "krakenonce", "gateway", "run", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--base-url", kraken, "--state", state],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the demo, which then ends it
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                raise KrakenonceError(f"the gateway ended with exit code {process.wait()}; run the demo again")
            yield line.split()[3].rstrip(";"), pairs
        finally:
            process.terminate()
