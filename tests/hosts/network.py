"""A network of a test's own: hosts beside its server, which can be cut off so that their packets vanish."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.servers import Host
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ADDRESS = "10.0.0.1"  # of the server, in a network that nobody else is in
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Network:
    """While it is entered, this thread and what it starts are in a network of their own, in which a server may listen.

    Raises:
        pytest.skip.Exception: Such a network cannot be made here.
    """

    def __init__(self) -> None:
        missing = [each for each in ("ip", "nsenter", "unshare") if shutil.which(each) is None]
        if os.geteuid() != 0 or missing:
            pytest.skip(f"a network of its own needs root{''.join(f' and {each}' for each in missing)}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._before = -1
        self._hosts: list[Host] = []

    def __enter__(self) -> Self:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if self._libc.unshare(_NEW_NETWORK):
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        _run("ip link set lo up")
        _run("ip link add name middle type bridge")
        _run(f"ip addr add {ADDRESS}/24 dev middle")
        _run("ip link set middle up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.kill()
        self._libc.setns(self._before, _NEW_NETWORK)
        os.close(self._before)

    def host(self, url: str) -> Host:
        """Start a host beside the server."""
        host = Host(url, 0.0, 0.0, ("unshare", "--net"))
        self._hosts.append(host)
        number = len(self._hosts)
        ours = os.readlink("/proc/thread-self/ns/net")
        until(lambda: _network_of(host) not in ("", ours))
        _run(f"ip link add name host{number} type veth peer name out netns {host.pid}")
        _run(f"ip link set host{number} master middle up")
        _run(f"nsenter -t {host.pid} -n ip addr add 10.0.0.{number + 1}/24 dev out")
        _run(f"nsenter -t {host.pid} -n ip link set out up")
        return host

    def is_confirmed(self) -> bool:
        """Whether hosts have confirmed all that was sent to them."""
        lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
        return all(line.split()[4].startswith("00000000:") for line in lines)

    def cut(self, host: Host) -> None:
        """Let nothing pass from and to a host. The server's side does not notice."""
        _run(f"ip link set host{self._hosts.index(host) + 1} down")

    def mend(self, host: Host) -> None:
        """Let everything pass again."""
        _run(f"ip link set host{self._hosts.index(host) + 1} up")


def _network_of(host: Host) -> str:
    return os.readlink(Path("/proc", str(host.pid), "ns", "net"))


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
