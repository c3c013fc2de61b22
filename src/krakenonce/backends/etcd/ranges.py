"""The sent calls: bytes that a step under a lock reads and writes parts of.

The lock is a queue of keys. A step is two round trips: the pages that it will probably want come with the lock.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.etcd import pages as kept
from krakenonce.backends.etcd.pages import PAGE
from krakenonce.backends.etcd.queue import Queue
from krakenonce.backends.etcd.txn import delete, fetch, found, is_made_at, succeeded
from krakenonce.backends.pages import Pages, numbers_of
from krakenonce.errors import NonceStoreError
from krakenonce.rule import SECOND, check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.link import Link
    from krakenonce.backends.etcd.queue import Place
    from krakenonce.backends.etcd.txn import Found
    from krakenonce.backends.etcd.wire import Json, Wire


_T = TypeVar("_T")
_MOST = 120  # requests in one transaction; etcd takes 128 by default
_USE = "write to the record of sent calls in"


class EtcdRanges:
    """The sent calls on etcd.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: set[str] = set()
        self._wanted: dict[str, list[int]] = {}  # the pages that the steps before have used, the latest first

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes. Raises NonceStoreError."""
        if name not in self._known:
            first = fetch(self._page(name, 0), only_names=True)
            if self._link.read(lambda wire: found(wire.read(first))):
                self._known.add(name)
        return name in self._known

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without the lock; None if no step was taken yet. Raises NonceStoreError."""
        wanted = sorted({0, *numbers_of(PAGE, offset, offset + size)})
        requests = kept.requests(lambda number: self._page(name, number), wanted)
        answer = self._link.read(lambda wire: wire.read(*requests))
        revision, there, pages, _ = kept.read(found(answer, *range(len(requests))), wanted, 0)
        return Pages(PAGE, pages, there, 0.0, lambda _: {}).read(offset, size) if revision else None

    def sync(self, name: str) -> None:
        """Nothing to do: a step is durable when it returns."""

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* once with the bytes of this name, without any other caller, and return what it returns.

        What it has written is stored all at once when it has returned.

        Raises:
            NonceStoreError: They cannot be read or written; or this process was paused for too long meanwhile.
        """
        check_name("bytes", name, NonceStoreError)
        link, queue = self._link, Queue(self._link.key("locks", f"sent-{name}", ""))
        wanted = self._wanted.get(name, [0, 1])
        requests = kept.requests(lambda number: self._page(name, number), wanted)
        link.refuse_interrupter()
        with link.lock, contextlib.closing(queue):
            place = queue.enter(link.session, link.lease, _USE, lambda _: ([], requests))
            try:
                keys = found(queue.answer, *range(1, len(requests) + 1)) if queue.answer else self._fetch(*requests)
                there = kept.read(keys, wanted, link.server.clock.now_ns())
                link.server.clock.go_on_from(there.now_ns)
                pages = Pages(PAGE, there.pages, there.size, there.now_ns / SECOND, partial(self._more, name))
                result = step(pages)
                changes = [*self._changes(name, pages, there.size), delete(place.key)]
            except BaseException:
                queue.leave(link.session, link.lease, place)
                raise
            self._store(queue, place, changes)
        self._known.add(name)
        self._wanted[name] = pages.wanted(wanted)
        return result

    def _store(self, queue: Queue, place: Place, requests: list[Json]) -> None:
        """Write what a step has changed, and release the lock in the same transaction."""
        link, tries = self._link, []

        def write(wire: Wire) -> bool:
            tries.append(1)
            return succeeded(wire.txn([is_made_at(place.key, place.made)], requests))

        try:
            done = link.session.step(_USE, write)
        except BaseException:  # the lock may still be there
            link.lease.retire(place.lease)
            raise
        finally:
            link.lease.leave(queue)
        if not done:  # the step must not be called twice
            why = "a connection was lost" if len(tries) > 1 else "this process was paused for too long"
            raise NonceStoreError(f"cannot {_USE} {link.server.url}: {why}; nothing was issued or sent")

    def _changes(self, name: str, pages: Pages, before: int) -> list[Json]:
        first, *requests = kept.changes(lambda number: self._page(name, number), pages)
        if not before or pages.size > before or 0 in pages.changes():
            requests.insert(0, first)
        if len(requests) > _MOST:
            raise NonceStoreError(f"a step may write {_MOST} pages of {PAGE} bytes, not {len(requests)}")
        return requests

    def _fetch(self, *requests: Json) -> list[Found]:
        answer = self._link.session.step(_USE, lambda wire: wire.read(*requests))
        return found(answer, *range(len(requests)))

    def _more(self, name: str, numbers: list[int]) -> dict[int, bytes]:
        keys = self._fetch(*kept.requests(lambda number: self._page(name, number), numbers))
        return kept.read(keys, numbers, 0).pages

    def _page(self, name: str, number: int) -> str:
        return self._link.key("sent", name, f"{number:06x}")
