"""A gateway process with forty accounts, of which some cannot be used, as the status page shows it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.gateway.conftest import call
from tests.integration.gateway.processes import Processes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey

__all__ = ["BROKEN", "LOCKED_OUT", "LONG", "MARKUP", "NAMES", "WRONG_SECRET", "ManyAccounts", "many_accounts"]

WRONG_SECRET, LOCKED_OUT, REVOKED = "USER:zoe", "USER:tom", "USER:yul"
BROKEN = [LOCKED_OUT, REVOKED, WRONG_SECRET]
LONG = "USER:wwwwwwww_arbitrage_desk_wwwwwwww"  # as long as a name may be
NAMES = ["MASTER", *(f"USER:bot{number:02}" for number in range(1, 36)), LONG, *BROKEN]
MARKUP = "<img src=x onerror=document.title='broken'>"  # in what Kraken answers


class ManyAccounts:
    """The gateway's process, its address, and its local keys by account."""

    def __init__(self, fake: FakeKraken, processes: Processes, keys: dict[str, LocalKey]) -> None:
        self.fake = fake
        self.keys = keys
        self.process: subprocess.Popen[str]
        self.process, self.url = processes.serve()

    def call(self, account: str, method: str = "Balance") -> None:
        """Make a call of an account."""
        call(self.url, self.keys[account], method)


@contextlib.contextmanager
def many_accounts(state: Path) -> Iterator[ManyAccounts]:
    """Start the gateway and make a call of each account; end it."""
    fake = FakeKraken()
    made = {name: fake.add_account(name) for name in NAMES}
    with FakeKrakenServer(fake) as server:
        processes = Processes(state, made["MASTER"], server.url)
        for name, each in made.items():
            begin = f"KRAKEN_{name.replace(':', '_').upper()}_API"
            secret = made["MASTER"].secret if name == WRONG_SECRET else each.secret
            processes.env |= {f"{begin}_KEY": each.key, f"{begin}_SECRET": secret, f"{begin}_TIER": "pro"}
        names = {"trader-" + name.removeprefix("USER:").lower(): name for name in NAMES}
        keys = {account: processes.add(name, account) for name, account in names.items()}
        try:
            running = ManyAccounts(fake, processes, keys)
            fake.revoke(made[REVOKED].key)
            for name in NAMES:
                if name == LOCKED_OUT:
                    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
                running.call(name)
            fake.faults.add("Ledgers", "error", error=f"EQuery:{MARKUP}")
            running.call("MASTER", "Ledgers")
            yield running
        finally:
            processes.close()
