"""The etcd backend: the whole state on one etcd, shared by all hosts that reach it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from krakenonce.backends.etcd import moved
from krakenonce.backends.etcd.gate import EtcdGate, close_gates, gate_of
from krakenonce.backends.etcd.limits import EtcdLimits
from krakenonce.backends.etcd.link import Link
from krakenonce.backends.etcd.numbers import Numbers
from krakenonce.backends.etcd.ranges import EtcdRanges
from krakenonce.backends.etcd.records import EtcdRecords
from krakenonce.backends.etcd.server import read_url
from krakenonce.backends.etcd.txn import fetch, found
from krakenonce.backends.on_server import OnServer
from krakenonce.backends.protocol import ScopeStats
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section
from krakenonce.rule import check_floor, check_scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.protocol import Gate, Kept
    from krakenonce.clock import Clock


class EtcdStore(OnServer):
    """Keeps the state in the keys of one etcd that begin with a prefix.

    Nothing is opened before the first call. Safe for threads, forks, and any number of processes and hosts.
    :doc:`guarantees` lists what is promised.

    Args:
        url: ``etcd://USER@HOST1:2379,HOST2:2379/PREFIX``; or what was read from it.
        clock: For tests, and taken as it is; default: the machine's clock, at most a minute ahead of the servers'.
        pause: Seconds for which a process may be paused before it loses its turns.

    Raises:
        ConfigError: It is no such URL.
    """

    def __init__(self, url: str | Server, *, clock: Clock | None = None, pause: float = 5.0) -> None:
        self._link: Link = Link(read_url(url.strip(), "store") if isinstance(url, str) else url, pause)
        is_ours = clock is None or isinstance(clock, SystemClock)
        self._numbers = Numbers(clock or SystemClock(), is_capped=is_ours)
        self._counting = Section(NonceStoreError, "a nonce was asked for")
        self._issued: Counter[str] = Counter()
        self.rate_limits = EtcdLimits(self._link)
        self.records = EtcdRecords(self._link)
        self._link_of_sent = Link(self._link.server, pause)  # of a gateway, whose nonces do not wait for its steps
        self.sent_calls = EtcdRanges(self._link_of_sent)

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter.

        If a connection is lost, the nonce that was perhaps stored is given to nobody, and another one is asked for.

        Raises:
            InvalidScope: The name is not allowed.
            NonceStoreError: No server answers, or none can store it; none was issued.
            ClockError: The clocks are before 2020, and there is no earlier nonce.
            NonceExhausted: 2^63 - 1 is reached.
        """
        return self._next(scope, [])

    def advance_in_turn(self, scope: str, gates: Iterable[Gate]) -> int:
        """Issue the next nonce of a counter if the caller still has all these gates. Errors: also as below.

        Args:
            scope: The counter.
            gates: Those that the caller has taken; all are checked in the transaction that stores the nonce.

        Raises:
            TurnLost: It has lost one, so another caller may be using it; no nonce was issued.
        """
        ours = [
            gate for gate in gates if isinstance(gate, EtcdGate) and gate.link.server.name == self._link.server.name
        ]
        check_scope(scope)
        if len(ours) == 1 and (nonce := ours[0].taken(self._key(scope))) is not None:
            return self._count(scope, nonce)
        return self._next(scope, ours)

    def peek(self, scope: str) -> int | None:
        """Return the last nonce issued, or the floor if one was set since; never writes."""
        check_scope(scope)
        return self._link.read(lambda wire: self._numbers.read(wire, self._key(scope)))

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*, durably; a lower floor changes nothing."""
        check_scope(scope)
        self._raise(scope, check_floor(floor))

    def gate(self, name: str) -> EtcdGate:
        """Return what lets one caller at a time have the turn called *name*; it connects when first used."""
        return gate_of(self._link, name, self._numbers, self.rate_limits)

    def scopes(self) -> list[str]:
        """Return the names of the counters, sorted."""
        return list(self._numbers.all(self._link.read(lambda wire: wire.read(fetch(self._key(""))))))

    def stats(self, scope: str) -> ScopeStats:
        """Return the last nonce, and the count of this process."""
        return ScopeStats(scope, self.peek(scope), issued=self._issued[scope])

    def retire(self, to: str) -> dict[str, int]:
        """Let nobody use the counters any more; see :class:`krakenonce.backends.protocol.Movable`."""
        answer = self._link.step("move", lambda wire: moved.retire(wire, to, self._key("")))
        return self._numbers.all(answer, 1)

    def moved_to(self) -> str | None:
        """Return where the state was moved to; None: it is in use."""
        return self._link.read(moved.moved_to)

    def names(self, kept: Kept) -> list[str]:
        """Return the names of all rate limits, records or sent calls, sorted."""
        folder = self._link.key(moved.FOLDERS[kept], "")
        keys = found(self._link.read(lambda wire: wire.read(fetch(folder, only_names=True))))
        return sorted({each.key.removeprefix(folder).partition("/")[0] for each in keys})

    def restore(self, floors: dict[str, int]) -> None:
        """Let the counters be used again, if they were retired, with all nonces larger than these floors."""
        for scope, floor in floors.items():
            check_scope(scope)
            self._raise(scope, check_floor(floor), even_moved=True)
        self._link.step("move", moved.bring_back)

    def close(self) -> None:
        """Close the connections that are not in use. A later call opens them again."""
        close_gates(self._link)
        self._link_of_sent.close()
        self._link.close()

    def _next(self, scope: str, gates: list[EtcdGate]) -> int:
        check_scope(scope)
        step = gates[-1].step if gates else self._link.step
        nonce, _ = step("take a nonce from", lambda wire: self._numbers.take(wire, self._key(scope), gates))
        return self._count(scope, nonce)

    def _count(self, scope: str, nonce: int) -> int:
        with self._counting.lock:
            self._issued[scope] += 1
        return nonce

    def _raise(self, scope: str, floor: int, *, even_moved: bool = False) -> None:
        self._link.step(
            "raise a floor in",
            lambda wire: self._numbers.raise_to(wire, self._key(scope), floor, even_moved=even_moved),
        )

    def _key(self, scope: str) -> str:
        return self._link.key("nonces", scope)
