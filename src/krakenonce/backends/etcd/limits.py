"""The rate counters on etcd, in pages of which the first one's revision is the version. See backends/limits.py."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from krakenonce.backends.etcd import pages as kept
from krakenonce.backends.etcd.txn import fetch, found, is_changed_at, succeeded
from krakenonce.backends.limits import USE, Seen, ServerLimits
from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from krakenonce.backends.etcd.link import Link
    from krakenonce.backends.etcd.wire import Json, Wire
    from krakenonce.backends.pages import Pages


class EtcdLimits(ServerLimits):
    """The rate counters on etcd.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(link, kept.PAGE)

    def look(self, name: str, numbers: list[int]) -> list[Json]:
        """Return what asks for pages of a key's counters; the first page is among them."""
        return kept.requests(lambda number: self._key(name, number), numbers)

    def seen(self, numbers: list[int], answer: Json, at: int = 0) -> Seen:
        """Return what was found.

        Args:
            numbers: The pages that were asked for.
            answer: The answer.
            at: Where in it what was found of them begins.
        """
        clock = self._link.server.clock
        count = len(self.look("", numbers))
        revision, size, pages, now_ns = kept.read(found(answer, *range(at, at + count)), numbers, clock.now_ns())
        clock.go_on_from(now_ns)
        return Seen(revision or None, size, pages, now_ns / SECOND, time.monotonic())

    def _is_there(self, name: str) -> bool:
        first = fetch(self._key(name, 0), only_names=True)
        return bool(self._link.read(lambda wire: found(wire.read(first))))

    def _read(self, name: str, numbers: list[int]) -> Seen:
        requests = self.look(name, numbers)
        return self.seen(numbers, self._link.session.step(USE, lambda wire: wire.read(*requests)))

    def _change(self, name: str, seen: Seen, pages: Pages) -> Seen | None:
        numbers, tries = self.wanted(name), []
        only_if = [is_changed_at(self._key(name, 0), seen.version or 0)]
        changes, otherwise = kept.changes(lambda number: self._key(name, number), pages), self.look(name, numbers)

        def store(wire: Wire) -> Json:
            tries.append(1)
            return wire.txn(only_if, changes, otherwise)

        answer = self._link.session.step(USE, store)
        if succeeded(answer):
            return None
        if len(tries) > 1:
            raise self._not_known()
        return self.seen(numbers, answer)

    def _key(self, name: str, number: int) -> str:
        key: str = self._link.key("limits", name, f"{number:06x}")
        return key
