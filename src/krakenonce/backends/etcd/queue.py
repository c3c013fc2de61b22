"""The queue of all hosts for one thing: a folder with a key for each caller, in the order in which the keys were made.

The first of them has what the queue is for. A key depends on the lease of its process, so it goes when nothing is heard
of that. It is written once: a second time would take it off its lease if it forgot to name it. It has another name each
time, so that a request whose answer was lost, and that is executed later, meets no key of a later turn.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.etcd.session import cannot, rest
from krakenonce.backends.etcd.txn import covers, delete, fetch, found, is_absent, name_of, put, succeeded
from krakenonce.backends.etcd.wire import NOT_FOUND, Lost, Refused, Silence
from krakenonce.backends.heartbeat import host
from krakenonce.errors import NonceStoreError
from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.lease import Lease
    from krakenonce.backends.etcd.session import Session
    from krakenonce.backends.etcd.wire import Json, Wire

    Along = Callable[[Wire], tuple[list[Json], list[Json]]]  # comparisons, and requests if they are true


_LOOK = 5.0  # seconds without news after which a waiter looks again: its server may be cut off from the others
_WAITED = b" w"


class Place(NamedTuple):
    """A caller's place in a queue.

    Args:
        key: Its key's name.
        made: The revision at which that was made.
        lease: The lease that it depends on.
    """

    key: str
    made: int
    lease: int


class Gone(Exception):
    """The caller's key is not in the queue any more: its process was paused for too long."""


class Queue:
    """One queue, as one caller of this process at a time uses it.

    Args:
        folder: What the names of its keys begin with; ends in a slash.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.answer: Json = {}  # to the requests that were made when it was entered
        self._news: Wire | None = None  # a connection on which the server says who leaves

    def enter(self, session: Session, lease: Lease, use: str, along: Along | None = None) -> Place:
        """Take a place, and wait until it is the first one.

        Args:
            session: What to ask with.
            lease: What the place is to depend on.
            use: What is done with the state, for messages.
            along: What is done with it in one transaction, if nobody is there.

        Raises:
            NonceStoreError: No server answers.
        """
        while True:
            self.answer = {}
            place, before = session.step(use, lambda wire: self._ask(wire, lease, along, wait=True))
            try:
                self._wait(session, use, place, before)
            except Gone:
                lease.leave(self)
            except BaseException:
                self.leave(session, lease, place)
                raise
            else:
                return place

    def enter_if_free(self, session: Session, lease: Lease, use: str, along: Along | None = None) -> Place | None:
        """Take a place if nobody is there. Returns None if it is another one's. Arguments: as for :meth:`enter`."""
        self.answer = {}
        place, before = session.step(use, lambda wire: self._ask(wire, lease, along, wait=False))
        if along and not before and not self.answer:  # it is free, but what was to be done along cannot be done
            return self.enter_if_free(session, lease, use)
        return None if before else place

    def leave(self, session: Session, lease: Lease, place: Place) -> None:
        """Give the place back. If that is not sure, the lease is not kept alive any more, with which it goes."""
        try:
            session.step("release a turn in", lambda wire: wire.delete(delete(place.key)))
        except BaseException as error:
            lease.retire(place.lease)
            if not isinstance(error, NonceStoreError):
                raise
        finally:
            lease.leave(self)

    def leave_later(self, session: Session, lease: Lease, place: Place) -> None:
        """Give the place back, and do not wait for the server: the session's next step makes sure of it."""
        session.delete_later(delete(place.key))
        lease.leave(self)

    def close(self) -> None:
        """Want no more news until the next wait. While nobody reads them, the server has to keep them."""
        news, self._news = self._news, None
        if news is not None:
            news.close()

    def first(self, wire: Wire) -> bytes | None:
        """Return what the first one has said when it entered: see :func:`said_by`; None: nobody is there."""
        keys = found(wire.read(fetch(self.folder)))
        return min(keys, key=lambda each: each.made).value if keys else None

    def _ask(self, wire: Wire, lease: Lease, along: Along | None, *, wait: bool) -> tuple[Place, set[str]]:
        """Take a place; return it, and who is before it. If that is somebody and *wait* is false, none is taken.

        ``self.answer`` is set if what was to be done along with it is done.
        """
        number, key = lease.take(self), f"{self.folder}{os.urandom(8).hex()}"
        me = b"%d %s %d" % (os.getpid(), host().encode(), wire.server.clock.now_ns() // 10**6)
        only_if, with_it = along(wire) if along else ([], [])
        join = [put(key, me + _WAITED, number)] if wait else []
        try:
            answer = wire.txn(
                [is_absent(self.folder), *only_if],
                [put(key, me, number), *with_it],
                [fetch(self.folder, only_names=True), *join],
            )
        except Refused as error:
            lease.leave(self)
            if error.code != NOT_FOUND:
                raise
            lease.retire(number)
            raise Lost("a lease has ended") from None  # a new one is taken
        except BaseException:  # promise 10: the key may be there, or come later
            lease.retire(number)
            lease.leave(self)
            raise
        place = Place(key, int(answer["header"]["revision"]), number)
        if succeeded(answer):
            self.answer = answer if along else {}
            return place, set()
        if not wait:
            lease.leave(self)
        return place, {each.key for each in found(answer)}

    def _wait(self, session: Session, use: str, place: Place, before: set[str]) -> None:
        """Wait until nobody is before the place. Raises Gone or NonceStoreError.

        News that begin now do not begin when the place was taken: etcd sends old ones up to a tenth of a second later.
        So what has happened in between is looked up when they have begun. News of an earlier wait have gone on.
        """
        while before:
            try:
                if self._news is None or self._news.place != session.server.place():
                    self.close()
                    self._news = session.watch()
                    self._news.begin("watch", {"create_request": {**covers(self.folder), "filters": ["NOPUT"]}})
                    self._hear(self._news, place, before)
                    before = self._before(session, use, place)
                while before:
                    self._hear(self._news, place, before)
            except BaseException as error:
                self.close()
                if isinstance(error, Refused):
                    raise cannot(session.server, use, error) from None
                if not isinstance(error, Lost):
                    raise
                if not isinstance(error, Silence):
                    rest(0.1)
                before = self._before(session, use, place)

    def _before(self, session: Session, use: str, place: Place) -> set[str]:
        """Return who is before the place. Raises Gone or NonceStoreError."""
        keys = found(session.step(use, lambda wire: wire.read(fetch(self.folder, only_names=True))))
        if place.key not in (each.key for each in keys):
            raise Gone
        return {each.key for each in keys if each.made < place.made}

    def _hear(self, wire: Wire, place: Place, before: set[str]) -> None:
        """Take those out of *before* whose keys are deleted, as the next news say. Raises Gone, Silence or Lost."""
        news = wire.message(_LOOK)
        if news.get("canceled"):  # the server could not keep up, or the user may not watch
            raise Lost(str(news.get("cancel_reason", "")))
        for event in news.get("events", []):
            key = name_of(event)
            if key == place.key:
                raise Gone
            before.discard(key)


def said_by(value: bytes, now_ns: int) -> str:
    """Return who has a place, in words, from what that one has written when it entered the queue."""
    pid, where, since, *waited = value.decode().split()
    place = "" if where == host() else f" on host {where}"
    most = "at most " if waited else ""  # how long it has waited of that time is not known
    return f"process {pid}{place} has held it for {most}{max(0.0, (now_ns - int(since) * 10**6) / SECOND):.1f} s"
