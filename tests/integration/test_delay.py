"""The proxy with which the benchmarks make a round trip longer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.delay import Delay
from tests.hosts.packets import can_drop
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A server's socket."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(20.0)
        yield made


@pytest.fixture
def delay(listening: socket.socket) -> Iterator[Delay]:
    """A proxy in front of it."""
    made = Delay(listening.getsockname()[1], one_way=10.0, jitter=5.0)
    yield made
    made.close()


def connected(port: int) -> socket.socket:
    """A client's socket."""
    made = socket.create_connection(("127.0.0.1", port), timeout=20.0)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def received(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_bytes_are_late_and_in_order(listening: socket.socket, delay: Delay) -> None:
    """In both directions, though each part takes another time."""
    with connected(delay.port) as client:
        client.sendall(b"x")
        server, _ = listening.accept()
        with server:
            received(server, 1)
            for sender, receiver in ((client, server), (server, client)):
                began = time.monotonic()
                for each in range(50):
                    sender.sendall(bytes([each]))
                assert received(receiver, 50) == bytes(range(50))
                assert time.monotonic() - began >= 0.01


def test_ends_and_resets_are_passed_on(listening: socket.socket, delay: Delay) -> None:
    """A server frees what a client had that was killed."""
    for linger in (b"", b"\1\0\0\0\0\0\0\0"):
        client = connected(delay.port)
        client.sendall(b"x")
        server, _ = listening.accept()
        with server:
            server.settimeout(20.0)
            received(server, 1)
            if linger:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.close()
            if linger:
                with pytest.raises(ConnectionResetError):
                    server.recv(1)
            else:
                assert server.recv(1) == b""


@pytest.mark.skipif(not can_drop(), reason="packets are dropped on Linux only, and on some kernels by root only")
def test_nobody_hears_of_a_cut(listening: socket.socket, delay: Delay) -> None:
    """What is sent is not acknowledged, and nothing is closed; the kernel gives up by itself."""
    client = connected(delay.port)
    client.sendall(b"x")
    server, _ = listening.accept()
    with client, server:
        received(server, 1)
        delay.cut()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        server.settimeout(20.0)
        server.sendall(b"x")
        with pytest.raises(TimeoutError, match="timed out") as lost:
            server.recv(1)
        assert lost.value.errno is not None  # the kernel's, not Python's
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_it_ends_with_the_process_that_started_it() -> None:
    """Also if that is killed."""
    code = "import os; from bench.delay import Delay; print(Delay(9)._process.pid, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, env={**os.environ, "PYTHONPATH": f"{_ROOT}/src:{_ROOT}"},
        stdout=subprocess.PIPE, check=False, text=True,
    )  # fmt: skip
    pid = int(done.stdout)
    until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("late", [b"", b"late"], ids=["silent", "late"])
def test_a_connection_that_both_have_ended_is_closed(listening: socket.socket, delay: Delay, late: bytes) -> None:
    """A long measurement makes thousands of them. What comes for a client that has gone is answered by a reset."""
    files = Path(f"/proc/{delay._process.pid}/fd")
    if not files.exists():
        pytest.skip("the system does not show which files a process has open")
    before = sockets_in(files)
    with connected(delay.port) as client:
        client.sendall(b"x")
        server, _ = listening.accept()
        received(server, 1)
    with server:
        assert server.recv(1) == b""
        server.sendall(late)
    until(lambda: sockets_in(files) == before)


def sockets_in(files: Path) -> set[str]:
    """The sockets among a process's open files; one that has just begun opens and closes others."""
    found = set()
    for each in files.iterdir():
        with contextlib.suppress(OSError):  # it is closed by now
            found.add(os.readlink(each))
    return {each for each in found if each.startswith("socket:")}
