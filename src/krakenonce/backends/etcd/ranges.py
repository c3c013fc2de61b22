"""Bytes that a step under a lock reads and writes parts of: rate counters, and records of sent calls.

They are kept in small pages, because every write stays in etcd's history for a while; a page of zeros is not kept. The
lock is a queue of keys. A step is two round trips: the pages that it will probably want come with the lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.etcd.pages import PAGE, Pages
from krakenonce.backends.etcd.queue import Queue
from krakenonce.backends.etcd.txn import delete, fetch, found, is_made_at, put, succeeded
from krakenonce.errors import NonceStoreError
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.etcd.link import Link
    from krakenonce.backends.etcd.queue import Place
    from krakenonce.backends.etcd.txn import Found
    from krakenonce.backends.etcd.wire import Json, Wire


_T = TypeVar("_T")
_AT_ONCE = 4  # pages that come with the lock
_MOST = 120  # requests in one transaction; etcd takes 128 by default
_USES = {"limits": "keep the rate limits in", "sent": "write to the record of sent calls in"}


class EtcdRanges:
    """Named bytes of one kind.

    Args:
        link: The session to use.
        kind: ``limits`` or ``sent``: a part of the names of their keys.
    """

    def __init__(self, link: Link, kind: str) -> None:
        self._link = link
        self._kind = kind
        self._use = _USES[kind]
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
        wanted = range(offset // PAGE, (offset + size - 1) // PAGE + 1)
        requests = [fetch(self._page(name, 0)), fetch(self._page(name, wanted.start), self._page(name, wanted.stop))]
        answer = self._link.read(lambda wire: wire.read(*requests))
        if not found(answer):
            return None
        return Pages([*found(answer), *found(answer, 1)], [0, *wanted], lambda _: [], 0).read(offset, size)

    def sync(self, name: str) -> None:
        """Nothing to do: a step is durable when it returns."""

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* once with the bytes of this name, without any other caller, and return what it returns.

        What it has written is stored all at once when it has returned.

        Raises:
            NonceStoreError: They cannot be read or written; or this process was paused for too long meanwhile.
        """
        check_name("bytes", name, NonceStoreError)
        link, queue = self._link, Queue(self._link.key("locks", f"{self._kind}-{name}", ""))
        wanted = self._wanted.get(name, [0, 1])
        requests = [fetch(self._page(name, number)) for number in wanted]
        link.refuse_interrupter()
        with link.lock:
            place = queue.enter(link.session, link.lease, self._use, lambda _: ([], requests))
            try:
                keys = found(queue.answer, *range(1, len(wanted) + 1)) if queue.answer else self._fetch(*requests)
                pages = Pages(
                    keys, wanted, lambda span: self._fetch(self._span(name, span)), link.server.clock.now_ns()
                )
                link.server.clock.go_on_from(pages.now_ns)
                result = step(pages)
                changes = [*self._changes(name, pages), delete(place.key)]
            except BaseException:
                queue.leave(link.session, link.lease, place)
                raise
            self._store(queue, place, changes)
        self._known.add(name)
        if len(pages.used) <= _AT_ONCE:
            self._wanted[name] = [
                0,
                *list(dict.fromkeys(each for each in [*pages.used, *wanted] if each))[: _AT_ONCE - 1],
            ]
        return result

    def _store(self, queue: Queue, place: Place, requests: list[Json]) -> None:
        """Write what a step has changed, and release the lock in the same transaction."""
        link, tries = self._link, []

        def write(wire: Wire) -> bool:
            tries.append(1)
            return succeeded(wire.txn([is_made_at(place.key, place.made)], requests))

        try:
            done = link.session.step(self._use, write)
        except BaseException:  # the lock may still be there
            link.lease.retire(place.lease)
            raise
        finally:
            link.lease.leave(queue)
        if not done:  # the step must not be called twice
            why = "a connection was lost" if len(tries) > 1 else "this process was paused for too long"
            raise NonceStoreError(f"cannot {self._use} {link.server.url}: {why}; nothing was issued or sent")

    def _changes(self, name: str, pages: Pages) -> list[Json]:
        written, empty = pages.changes()
        requests = [put(self._page(name, number), data) for number, data in written]
        requests += [delete(self._page(name, span.start), self._page(name, span.stop)) for span in empty]
        if len(requests) > _MOST:
            raise NonceStoreError(f"a step may write {_MOST} pages of {PAGE} bytes, not {len(requests)}")
        return requests

    def _fetch(self, *requests: Json) -> list[Found]:
        answer = self._link.session.step(self._use, lambda wire: wire.read(*requests))
        return found(answer, *range(len(requests)))

    def _span(self, name: str, span: range) -> Json:
        return fetch(self._page(name, span.start), self._page(name, span.stop))

    def _page(self, name: str, number: int) -> str:
        return self._link.key(self._kind, name, f"{number:06x}")
