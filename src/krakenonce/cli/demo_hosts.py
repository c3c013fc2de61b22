"""The demo with several hosts: processes whose clocks are an hour apart, and one PostgreSQL server for all of them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends import open_store
from krakenonce.backends.beginning import begin
from krakenonce.cli.demo_crew import AGAIN, Crew
from krakenonce.cli.demo_postgres import check_installed, postgres
from krakenonce.cli.demo_results import all_made, count, show
from krakenonce.cli.output import complain, to_json, write
from krakenonce.cli.tables import Column, write_table
from krakenonce.cli.waiting import progress
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


AHEAD = (-3600.0, 0.0, 3600.0)  # seconds that the clock of each host is ahead
CALLS = 600  # in total, each of the two times
THREADS = 4
ACCOUNTS = ("MASTER", "USER:alice", "USER:bob", "USER:carol")
LATENCY, JITTER = 0.003, 0.0025  # seconds, between a host and the fake Kraken
PAUSE = 3.0  # seconds of silence after which the server ends a host's turns
CUT = 4.0  # seconds for which one host is cut off


class Cable:
    """What connects a host with the server: a proxy for TCP, which can be cut for a while.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self._sockets[0].getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self, seconds: float) -> None:
        """Let nothing pass, and tell neither side. What was sent meanwhile is lost, and with it its connection."""
        self._is_whole.clear()
        timer = threading.Timer(seconds, self._is_whole.set)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End all connections."""
        self._is_whole.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets += client, server
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and self._is_whole.is_set():
                target.sendall(data)
            self._is_whole.wait()
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def demo_hosts(*, as_json: bool) -> bool:
    """Make the same calls both ways, and show what came out.

    Args:
        as_json: Whether it is written as JSON.

    Returns:
        Whether every call through krakenonce was accepted.

    Raises:
        KrakenonceError: A package is not installed, the server does not start, or a worker ends.
    """
    check_installed()
    with (
        tempfile.TemporaryDirectory(prefix="krakenonce-demo-") as folder,
        postgres(Path(folder)) as (url, port),
        _cables(port) as cables,
    ):
        naive = _run("each client's own clock", [None] * len(AHEAD))  # now that there is a server for the second half
        _begin(url)
        ours = _run("through krakenonce", [url.replace(f":{port}/", f":{each.port}/") for each in cables], cables[0])
    if as_json:
        write(to_json({"naive": naive, "krakenonce": ours}))
    else:
        _show(naive, ours)
    if not all_made(ours):
        failed = ours["failed"] or ""
        complain(f"not every call through krakenonce was accepted {failed}; this is a bug, please report it")
    return all_made(ours)


def _begin(url: str) -> None:
    """Let the state be used though it is new, and this user has another one."""
    store = open_store(url)
    begin(store)
    store.close()


@contextlib.contextmanager
def _cables(port: int) -> Iterator[list[Cable]]:
    cables = [Cable(port) for _ in AHEAD]
    try:
        yield cables
    finally:
        for each in cables:
            each.close()


def _run(title: str, states: Sequence[str | None], cable: Cable | None = None) -> dict[str, Any]:
    """Make all calls one way, and count what arrived. A cable is cut on the way, and the last host is killed."""
    fake = FakeKraken()
    accounts = [(each.name, [(each.key, each.secret)]) for each in map(fake.add_account, ACCOUNTS)]
    with contextlib.ExitStack() as running:
        server = running.enter_context(FakeKrakenServer(fake, latency=LATENCY, jitter=JITTER))
        job = {"url": server.url, "accounts": accounts, "threads": THREADS, "calls": CALLS // len(AHEAD)}
        jobs = [
            {**job, "ahead": ahead, "state": state, "pause": PAUSE} for ahead, state in zip(AHEAD, states, strict=True)
        ]
        if not sys.stderr.isatty():
            print(f"{title}: {CALLS} calls from {len(AHEAD)} hosts with {THREADS} threads each", file=sys.stderr)
        step = running.enter_context(progress(f"{title:<24}", CALLS, transient=False))
        calls = itertools.count(1)

        def advance(report: object) -> None:
            step(report)
            if next(calls) == CALLS // 4 and cable is not None:
                cable.cut(CUT)

        crew = Crew(jobs, advance)
        crew.run()
    return {
        **count(fake, crew, CALLS),
        "tried_again": crew.reported[AGAIN],
        "longest_pause_of_a_key": round(_longest_pause(fake), 3),
    }


def _longest_pause(fake: FakeKraken) -> float:
    """Return the longest time between two calls with the same key, in seconds."""
    times = [[each.at for each in fake.arrivals if each.account == name] for name in ACCOUNTS]
    return max((later - earlier for each in times for earlier, later in itertools.pairwise(each)), default=0.0)


def _show(naive: dict[str, Any], ours: dict[str, Any]) -> None:
    show({"clock nonces": naive, "krakenonce": ours})
    write()
    rows = [
        ("host 1", "1 h behind", f"cut off from PostgreSQL for {CUT:.0f} s"),
        ("host 2", "right", ""),
        ("host 3", "1 h ahead", "killed and started again"),
    ]
    write_table((Column(""), Column("its clock"), Column("what became of it", "reason")), rows)
    write(f"tries that ended before the call was sent, and were repeated: {ours['tried_again']}")
    write(f"longest time without a call of a key: {ours['longest_pause_of_a_key']:.2f} s")
