"""The turn between hosts: the first place in a queue of keys.

A turn may be lost while its holder is paused or cut off. So a nonce is stored only if the holder's key is still there,
in the same transaction.
"""

from __future__ import annotations

import atexit
import time
import weakref
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.etcd.queue import Queue, said_by
from krakenonce.backends.etcd.session import Session
from krakenonce.errors import NonceError, NonceStoreError, TurnLost
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.lease import Lease
    from krakenonce.backends.etcd.limits import EtcdLimits
    from krakenonce.backends.etcd.link import Link
    from krakenonce.backends.etcd.numbers import Numbers
    from krakenonce.backends.etcd.queue import Along, Place
    from krakenonce.backends.etcd.wire import Json, Wire


_T = TypeVar("_T")
_FRESH = 1.0  # seconds for which a nonce that came with the turn may be used: no lease ends sooner
_AT_THE_END = 1.0  # seconds in which a server has to confirm that a turn was given back, when its process ends
_KEPT_OPEN = 32  # sessions of turns that this process does not have


class EtcdGate(Section):
    """At most one caller's key is the first.

    Args:
        link: For questions about the holder, and where to connect.
        name: The lane's name.
        numbers: The counters, for a nonce that comes with the turn.
        limits: The rate limits, of which those of this name come along with that nonce.
    """

    def __init__(self, link: Link, name: str, numbers: Numbers, limits: EtcdLimits) -> None:
        self.link = link
        self.numbers = numbers
        self.limits = limits
        self.name = name
        self.held = False
        self.scope: str | None = None
        self._came: tuple[str, int, float] | None = None  # the nonce that came with the turn, its counter, and when
        self._queue = Queue(link.key("lanes", name, ""))
        self._session = Session(link.server)
        self._lease: Lease = link.lease  # of the place
        self._place: Place | None = None
        self._left = 0  # the lease of the last one
        super().__init__(NonceStoreError, "a turn was asked for")

    def try_acquire(self) -> bool:
        """Take the gate if it is free and nobody waits for it."""
        return self._take(self._queue.enter_if_free)

    def acquire(self) -> None:
        """Wait in the queue until this process has the gate."""
        self._take(self._queue.enter)

    def release(self) -> None:
        """Let the next one in, unless the turn was lost. If no server confirms it, the lease ends it.

        The caller does not wait for the server: the next turn or the next heartbeat makes sure of it.
        """
        if not self.held:
            return
        with self.lock:
            place = self._place
            try:
                if place is not None and len(_open) <= _KEPT_OPEN:
                    self._queue.leave_later(self._session, self._lease, place)
                    self._left = place.lease
                elif place is not None:
                    self._queue.leave(self._session, self._lease, place)
                self._lease.make_sure(self)
                self._place = None
            finally:
                if len(_open) > _KEPT_OPEN:
                    self._drop()
                self._came = None
                self.limits.forget(self.name)
                self.held = False  # last: after an interrupt this is called again

    def settle(self, patience: float) -> bool:
        """Make sure that the turn was given back, and want no more news, unless the gate is in use.

        Returns whether that is so.

        Args:
            patience: Seconds that it may take. After that the lease is given up, with which the turn ends.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if not self.held:  # or the first step of a later turn has made sure of it
                self._settle(patience)
                self._queue.close()
        finally:
            self.lock.release()
        return True

    def step(self, use: str, do: Callable[[Wire], _T]) -> _T:
        """Take a step on the gate's own session, so that turns do not wait for each other."""
        self.refuse_interrupter()
        with self.lock:
            _open.add(self)
            return self._session.step(use, do)

    def taken(self, key: str) -> int | None:
        """Return the nonce of a counter that came with the turn, once; None: there is none, or it is too late."""
        came, self._came = self._came, None
        if came is None or came[0] != key or not self.held or time.monotonic() - came[2] > _FRESH:
            return None
        return came[1]

    def fence(self) -> Place:
        """Return the place that is there while the turn is held. Raises TurnLost if it is known to be lost."""
        if self._place is None or not self.held:
            raise self.lost("it is not held")
        return self._place

    def lost(self, why: str) -> TurnLost:
        """Forget the turn, and return the error that says so."""
        place, self._place = self._place, None
        if place is not None:
            self._lease.leave(self._queue)
        return TurnLost(
            f"the turn {self.name} was lost before its nonce was there ({why}); nothing was sent, and the call may be "
            "tried again"
        )

    def holder(self) -> str:
        """Return who holds the gate and for how long, in words."""
        try:
            said = self.link.read(self._queue.first)
            return "nobody holds it" if said is None else said_by(said, self.link.server.clock.now_ns())
        except (NonceStoreError, ValueError):
            return "its holder is not known"

    def close(self) -> None:
        """Close the session, if the gate is neither held nor waited for."""
        if not self.held and self.lock.acquire(blocking=False):
            try:
                if not self.held:
                    self._settle(_AT_THE_END)
                    self._drop()
            finally:
                self.lock.release()

    def abandon(self) -> None:
        """In a forked child: the place is the parent's."""
        self.held, self._place, self._came = False, None, None
        self._session.forget()
        self._drop()

    def _take(self, enter: Callable[[Session, Lease, str, Along | None], Place | None]) -> bool:
        self.refuse_interrupter()
        with self.lock:
            _open.add(self)
            self._session.server, self._lease = self.link.server, self.link.lease
            guessed: list[tuple[str, int, float]] = []
            key = self.link.key("nonces", self.scope) if self.scope else ""
            wanted = self.limits.wanted(self.name)

            def guess(wire: Wire) -> tuple[list[Json], list[Json]]:
                now = time.monotonic()
                nonce, only_if, store = self.numbers.guess(wire, key)
                guessed[:] = [(key, nonce, now)] if nonce else []
                return only_if, [*store, *self.limits.look(self.name, wanted)]

            self._came = None
            self._place = enter(self._session, self._lease, "take a turn in", guess if key else None)
            if self._queue.answer:
                self._came = guessed[0] if guessed else None
                self.limits.see(self.name, self.limits.seen(wanted, self._queue.answer, 1 + len(guessed)))
            self.held = self._place is not None
            if self._place is not None and key and not self._queue.answer:
                self._ask_for_nonce(self._place, key, wanted)
            return self.held

    def _ask_for_nonce(self, place: Place, key: str, wanted: list[int]) -> None:
        """Take the nonce, and read the rate limits, after the turn was waited for."""
        now, look = time.monotonic(), self.limits.look(self.name, wanted)
        try:
            nonce, answer = self._session.step(
                "take a nonce from", lambda wire: self.numbers.take(wire, key, [self], look)
            )
        except NonceError:  # what is wrong with the nonce is for the one who asks for it
            return
        except BaseException:
            self._place, self.held = None, False
            self._queue.leave(self._session, self._lease, place)
            raise
        self._came = key, nonce, now
        self.limits.see(self.name, self.limits.seen(wanted, answer, 1))

    def _settle(self, patience: float) -> None:
        try:
            self._session.settle("release a turn in", patience)
        except NonceStoreError:
            self._session.forget()
            self._lease.retire(self._left)

    def _drop(self) -> None:
        _open.discard(self)
        self._session.close()
        self._queue.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        self.abandon()


def gate_of(link: Link, name: str, numbers: Numbers, limits: EtcdLimits) -> EtcdGate:
    """Return the gate of a state: one object for all of this process. It connects as the last who has asked for it."""
    gate = _gates.get((link.server.name, name))
    if gate is None:
        gate = EtcdGate(link, name, numbers, limits)
        gate = _gates.setdefault((link.server.name, name), gate)
    gate.link, gate.numbers, gate.limits = link, numbers, limits
    return gate


def close_gates(link: Link) -> None:
    """Close the sessions of this state's gates that are not in use."""
    for gate in list(_open):
        if gate.link.server.name == link.server.name:
            gate.close()


def _settle_all() -> None:
    """When the process ends: a server stops what it is doing for a connection that is closed."""
    until = time.monotonic() + _AT_THE_END
    for gate in list(_open):
        if (left := until - time.monotonic()) > 0:
            gate.settle(left)


atexit.register(_settle_all)
_gates: weakref.WeakValueDictionary[tuple[str, str], EtcdGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[EtcdGate] = weakref.WeakSet()  # those that may have a connection
