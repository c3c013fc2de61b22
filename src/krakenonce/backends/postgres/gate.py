"""The turn between hosts: an advisory lock of a session that does nothing else.

The server keeps the queue, in the order of asking, and lets the next one in when the holder's session ends: with its
process, with its connection, or when it has said nothing for too long. So the session is the fence, too: a nonce that
is taken with it is taken in the turn, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import time
import weakref
from typing import TYPE_CHECKING

from krakenonce.backends.heartbeat import heart_of, host, my_name
from krakenonce.backends.postgres.schema import cannot, connect, make_tables
from krakenonce.backends.postgres.session import Refused, Session, SessionLost
from krakenonce.backends.postgres.statements import ACQUIRE, HOLDER, NEXT, RELEASE, TRY, TRY_AND_NEXT
from krakenonce.errors import NonceStoreError, TurnLost
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.limits import Seen
    from krakenonce.backends.postgres.limits import PostgresLimits
    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row

    Values = Callable[[str], tuple[str, int, int]]


_KEPT_OPEN = 16  # sessions of turns that this process does not have: a server has 100 of them in all
_FRESH = 1.0  # seconds for which a nonce that came with the turn may be used without asking the server again


class PostgresGate(Section):
    """At most one session has the gate.

    Args:
        link: For questions about the holder, and where to connect.
        name: The lane's name.
        pause: Seconds without a sign of life after which the holder loses the turn.
        values: Returns the values of the statement that issues a nonce of a counter.
        limits: The rate limits, of which those of this name come along with the turn.
    """

    def __init__(self, link: Link, name: str, pause: float, values: Values, limits: PostgresLimits) -> None:
        self.link = link
        self.pause = pause
        self.values = values
        self.limits = limits
        self.scope: str | None = None
        self._came: tuple[str, list[Row], float] | None = None  # the nonce that came with the turn, and when
        self.name = name
        self.held = False
        self._session: Session | None = None
        self._owner = 0  # the process that has opened the session
        self._why = ""  # why the turn was lost
        self._lock_id = int.from_bytes(hashlib.sha256(f"krakenonce {name}".encode()).digest()[:8], "big", signed=True)
        super().__init__(NonceStoreError, "a turn was asked for")

    def try_acquire(self) -> bool:
        """Take the gate if it is free and nobody waits for it."""
        return self._take(self._try)

    def acquire(self) -> None:
        """Wait in the server's queue until this process has the gate."""
        self._take(self._wait)

    def release(self) -> None:
        """Let the next one in, unless the turn was lost. The caller does not wait for the server."""
        if not self.held:
            return
        with self.lock:
            keep = False
            try:
                if self._session is not None:
                    self._session.later(RELEASE, self._lock_id)
                    keep = len(_open) <= _KEPT_OPEN
            except SessionLost:
                pass  # then the server frees it, too
            finally:
                if not keep:
                    self._drop()
                self._came = None
                self.limits.forget(self.name)
                self.held = False  # last: after an interrupt this is called again

    def taken(self, scope: str) -> list[Row] | None:
        """Return the nonce that came with the turn, once; None: there is none, or it has to be asked for again."""
        came, self._came = self._came, None
        if came is None or came[0] != scope or not self.held or time.monotonic() - came[2] > _FRESH:
            return None
        # A server that has ended the session has said so: the turn was lost while this process was paused.
        return came[1] if self._session is not None and self._session.is_quiet() else None

    def advance(self, statement: str, *values: str | int | None) -> list[Row]:
        """Run a statement in the turn.

        Raises:
            TurnLost: The session has ended, so another caller may have the turn. What was asked for is not used.
            Refused: The server refuses the statement.
        """
        self.refuse_interrupter()
        with self.lock:
            try:
                if self._session is None or not self.held:
                    raise SessionLost(self._why or "it is not held")
                make_tables(self._session, self.link.server)
                return self._session.run(statement, *values)
            except SessionLost as error:
                self._why = str(error)
                self._drop()
                raise TurnLost(
                    f"the turn {self.name} was lost before its nonce was there ({error}); nothing was sent, and the "
                    "call may be tried again"
                ) from None

    def beat(self) -> None:
        """Say that this process lives, unless it is just using the session."""
        if self.held and self.lock.acquire(blocking=False):
            try:
                if self._session is not None:
                    self._session.run("select 1")
            except (SessionLost, Refused) as error:
                self._why = str(error)
                self._drop()
            finally:
                self.lock.release()

    def holder(self) -> str:
        """Return who holds the gate and for how long, in words."""
        try:
            rows = self.link.read(HOLDER, self._lock_id)
            if not rows:
                return "nobody holds it"
            name, now = ((each or b"").decode() for each in rows[0])
            _, pid, where, since = name.split()
        except (NonceStoreError, ValueError):
            return "its holder is not known"
        place = "" if where == host() else f" on host {where}"
        return f"process {pid}{place} has held it for {(int(now) - int(since)) / 1000:.1f} s"

    def close(self) -> None:
        """End the session, if the gate is neither held nor waited for."""
        if not self.held and self.lock.acquire(blocking=False):
            try:
                if not self.held:
                    self._drop()
            finally:
                self.lock.release()

    def abandon(self) -> None:
        """In a forked child: the session is the parent's."""
        self.held = False
        session, self._session = self._session, None
        _open.discard(self)
        if session is None:
            return
        if self._owner == os.getpid():
            session.close()
        else:
            session.abandon()

    def _take(self, ask: Callable[[Session, str | None], bool]) -> bool:
        self.refuse_interrupter()
        with self.lock:
            self._came = None
            try:
                self.held = self._lock(ask, self.scope)
            except BaseException as error:  # with the session the lock is gone, if it was there
                self._drop()
                if isinstance(error, SessionLost | Refused):
                    raise cannot(self.link.server, "take a turn in", error) from None
                raise
            if self.held:
                self._why = ""
                heart_of(self.pause).watch(self)
            return self.held

    def _lock(self, ask: Callable[[Session, str | None], bool], scope: str | None) -> bool:
        """Ask for the lock, once more if a session is lost that may have ended long ago, or while it waited."""
        while True:
            is_new = self._session is None
            session = self._session = self._session or self._connect()
            try:
                return ask(session, scope)
            except SessionLost:
                self._drop()
                if is_new and ask == self._try:
                    raise
            except Refused:
                if scope is None:
                    raise
                self._drop()  # it has the lock, perhaps
                scope = None  # what is wrong with the nonce is for the one who asks for it

    def _try(self, session: Session, scope: str | None) -> bool:
        if scope is None:
            return session.run(TRY, *self._lock_values())[0][0] is not None
        make_tables(session, self.link.server)
        wanted = self.limits.wanted(self.name)
        steps = (TRY_AND_NEXT, *self.values(scope), *self._lock_values()), self.limits.look(self.name, wanted)
        [(last, said)], limits = session.run_all(*steps)
        if said is not None:
            self._keep(scope, [(last,)] if last is not None else [], self.limits.seen(wanted, limits))
        return said is not None

    def _wait(self, session: Session, scope: str | None) -> bool:
        if scope is None:
            session.run(ACQUIRE, *self._lock_values(), endless=True)
            return True
        make_tables(session, self.link.server)
        wanted = self.limits.wanted(self.name)
        look = self.limits.look(self.name, wanted)
        _, nonce, limits = session.run_all(
            (ACQUIRE, *self._lock_values()), (NEXT, *self.values(scope)), look, endless=True
        )
        self._keep(scope, nonce, self.limits.seen(wanted, limits))
        return True

    def _keep(self, scope: str, nonce: list[Row], limits: Seen) -> None:
        self._came = (scope, nonce, time.monotonic()) if nonce else None
        self.limits.see(self.name, limits)

    def _lock_values(self) -> tuple[int, str]:
        return self._lock_id, f"{my_name()} "

    def _connect(self) -> Session:
        session = connect(self.link.server, my_name(), self.pause)
        self._owner = os.getpid()
        _open.add(self)
        return session

    def _drop(self) -> None:
        _open.discard(self)
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _after_fork(self) -> None:
        super()._after_fork()
        self.abandon()


def gate_of(link: Link, name: str, pause: float, values: Values, limits: PostgresLimits) -> PostgresGate:
    """Return the gate of a server: one object for all of this process. It connects as the last who has asked for it."""
    gate = _gates.get((link.server.name, name))
    if gate is None:
        gate = PostgresGate(link, name, pause, values, limits)
        gate = _gates.setdefault((link.server.name, name), gate)
    gate.link, gate.pause, gate.values, gate.limits = link, pause, values, limits
    return gate


def close_gates(link: Link) -> None:
    """End the sessions of this server's gates that are not in use."""
    for gate in list(_open):
        if gate.link.server.name == link.server.name:
            gate.close()


_gates: weakref.WeakValueDictionary[tuple[str, str], PostgresGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[PostgresGate] = weakref.WeakSet()  # those that have a session
