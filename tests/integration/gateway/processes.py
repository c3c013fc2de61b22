"""Gateways as processes of their own, as their users start them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.manager import NonceManager
from tests.integration.forked import run_forked

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.testing import FakeAccount

__all__ = ["Processes"]


class Processes:
    """Starts gateways on one state, a directory or a URL; no output of theirs may hold a secret or a traceback."""

    def __init__(self, state: Path | str, master: FakeAccount, base_url: str) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN", "NOTIFY_"))}
        self.env = ours | {
            "KRAKEN_MASTER_API_KEY": master.key,
            "KRAKEN_MASTER_API_SECRET": master.secret,
            "KRAKEN_MASTER_API_TIER": "none",
            "KRAKENONCE_STATE_DIR": str(state),
        }
        self.store = NonceManager(state).store
        self.local_keys = LocalKeys(key_storage(self.store))
        self.secrets = [master.key, master.secret]
        self._base_url = base_url
        self._running: list[subprocess.Popen[str]] = []

    def add(self, name: str, account: str = "MASTER") -> LocalKey:
        """Make a local key that may query, trade, and cancel whatever there is."""
        made = self.local_keys.add(name, account, frozenset(("query", "trade", "cancel-all")))
        self.secrets += [made.key, made.secret]
        return made

    def start(self, listen: str = "127.0.0.1:0", *words: str, **more: str) -> subprocess.Popen[str]:
        """Start a gateway, with further *words* on its command line and *more* in its environment."""
        process = subprocess.Popen(
            [sys.executable, "-m", "krakenonce", *self._words(listen, *words)],
            env=self.env | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def serve(self, listen: str = "127.0.0.1:0", *words: str, **more: str) -> tuple[subprocess.Popen[str], str]:
        """Start a gateway and return it with its address once it accepts connections."""
        process = self.start(listen, *words, **more)
        assert process.stdout is not None
        found = re.match(r"gateway listening at (\S+);", process.stdout.readline())
        assert found, self.end(process)
        return process, found[1]

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the end of a gateway and return its exit code and what it said to stderr."""
        out, err = process.communicate(timeout=30)
        return process.returncode, self._checked(out, err)

    def run(self, listen: str, *words: str, **more: str) -> tuple[int, str]:
        """Start a gateway that does not come to serve, in a fork; return what :meth:`end` does."""
        code, out, err = run_forked(self._words(listen, *words), self.env | more)
        return code, self._checked(out, err)

    def _words(self, listen: str, *words: str) -> tuple[str, ...]:
        return ("gateway", "run", "--listen", listen, "--base-url", self._base_url, *words)

    def _checked(self, out: str, err: str) -> str:
        for secret in self.secrets:
            assert secret not in out + err
        assert "Traceback" not in out + err
        expected = "runs as root", "runs etcd 3.5.1"  # warnings about this machine, and about the etcd that there is
        return "\n".join(line for line in err.splitlines() if not any(each in line for each in expected))

    def close(self) -> None:
        """End what is still running."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.store.close()
