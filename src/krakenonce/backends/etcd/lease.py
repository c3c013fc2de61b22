"""The lease of this process: what it has in the servers' queues is deleted there when nothing is heard of it."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Protocol

from krakenonce.backends.etcd.session import Session
from krakenonce.backends.heartbeat import heart_of
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section
from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.etcd.wire import Wire


_KEPT = 60 * SECOND  # how long it is kept alive after its last use: a new one costs a write


class Leaving(Protocol):
    """Something that has depended on the lease, and was given back without waiting for the server."""

    def settle(self, patience: float) -> bool:
        """Make sure of it, unless it is in use; return whether nothing is left to do. Raises nothing."""


class Lease(Section):
    """One lease at a time, which is granted when it is needed.

    Args:
        server: Where.
        pause: Seconds of silence after which it ends. The server adds up to half a second, and makes it two at least.
    """

    def __init__(self, server: Server, pause: float) -> None:
        self.held = False  # whether it is to be kept alive
        self._session = Session(server)
        self._pause = pause
        self._id = 0
        self._fresh_until = self._kept_until = 0
        self._users: set[object] = set()
        self._leaving: weakref.WeakSet[Leaving] = weakref.WeakSet()
        super().__init__(NonceStoreError, "the state was asked for")

    def connect_to(self, server: Server) -> None:
        """Connect with what the last one has said who has asked for it: its password, for example."""
        self._session.server = server

    def take(self, user: object) -> int:
        """Return the lease's number, which is good for half of its time at least. Raises NonceStoreError."""
        self.refuse_interrupter()
        with self.lock:
            now, number = SystemClock.boot_ns(), self._id
            if not number or now > self._fresh_until:
                number = self._session.step("take a lease in", self._renew)
            self._users.add(user)
            self._kept_until, self.held = now + _KEPT, True
        heart_of(self._pause).watch(self)
        return number

    def leave(self, user: object) -> None:
        """Say that *user* has nothing more that depends on it."""
        self._users.discard(user)

    def make_sure(self, each: Leaving) -> None:
        """Let the next heartbeat make sure that what *each* gives back is given back."""
        self._leaving.add(each)

    def retire(self, number: int) -> None:
        """Use a lease no more: something that depends on it may be there, or come later, and has to go with it.

        What others have with it may be lost, too, unless they give it back in time.
        """
        if self._id == number:
            self._id = 0

    def beat(self) -> None:
        """Say that this process lives, unless the lease is just being used."""
        if self.lock.acquire(blocking=False):
            try:
                self.held = bool(self._users) or SystemClock.boot_ns() < self._kept_until
                if self._id and self.held:
                    self._session.step("keep", self._keep, patience=self._pause / 3)
            except NonceStoreError:
                pass  # it may be alive all the same, and is tried again
            finally:
                self.lock.release()
        for each in list(self._leaving):
            self._leaving.discard(each)  # first: meanwhile it may give back something more
            if not each.settle(self._pause / 3):
                self._leaving.add(each)

    def close(self) -> None:
        """Let it end, and close the connection, unless it is in use."""
        if not self._users and self.lock.acquire(blocking=False):
            try:
                if not self._users:
                    self._id, self._kept_until = 0, 0
                    self._session.close()
            finally:
                self.lock.release()

    def _renew(self, wire: Wire) -> int:
        if (number := self._keep(wire)) == 0:
            now = SystemClock.boot_ns()
            answer = wire.post("lease/grant", {"TTL": math.ceil(self._pause)})
            number = self._id = int(answer["ID"])
            self._note(now, int(answer["TTL"]))
        return number

    def _keep(self, wire: Wire) -> int:
        """Keep it alive, and return its number; 0: there is none, or it has ended."""
        if not (number := self._id):
            return 0
        now = SystemClock.boot_ns()
        lasts = int(wire.post("lease/keepalive", {"ID": str(number)}).get("TTL", 0))
        self._note(now, lasts)
        if not lasts:
            self.retire(number)
        return number if lasts else 0

    def _note(self, asked: int, lasts: int) -> None:
        self._fresh_until = asked + lasts * SECOND // 2

    def _after_fork(self) -> None:
        """In the child: it is the parent's."""
        super()._after_fork()
        self._id, self.held = 0, False
        self._users.clear()
        self._leaving.clear()
        self._session.close()


def lease_of(server: Server, pause: float) -> Lease:
    """Return the lease of this process at a server: one object for each *pause*."""
    lease = _leases.get((server.name, pause))
    if lease is None:
        lease = Lease(server, pause)
        lease = _leases.setdefault((server.name, pause), lease)
    lease.connect_to(server)
    return lease


_leases: weakref.WeakValueDictionary[tuple[str, float], Lease] = weakref.WeakValueDictionary()
