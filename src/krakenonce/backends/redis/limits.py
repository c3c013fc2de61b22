"""The rate counters on a server, a hash for each key: its pages, a version and the size. See backends/limits.py."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from krakenonce.backends.limits import USE, Seen, ServerLimits
from krakenonce.backends.redis.scripts import CHANGE, COUNTERS, LOOK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from krakenonce.backends.pages import Pages
    from krakenonce.backends.redis.link import Link
    from krakenonce.backends.redis.session import Session


_PAGE = 1024  # bytes


class RedisLimits(ServerLimits):
    """The rate counters on a server.

    A version is random, because a replica that was promoted may not have the last ones, and would count them again.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(link, _PAGE)

    @staticmethod
    def look(numbers: Sequence[int]) -> str:
        """Return what tells a script which pages of a key's counters to read."""
        return ",".join(map(str, numbers))

    @staticmethod
    def seen(numbers: Sequence[int], found: Sequence[Any]) -> Seen:
        """Return what a script has found."""
        version, size, seconds, micro, *pages = found
        return Seen(
            version or None,
            int(size or 0),
            dict(zip(numbers, (page or b"" for page in pages), strict=True)),
            int(seconds) + int(micro) / 1e6,
            time.monotonic(),
        )

    def _is_there(self, name: str) -> bool:
        return bool(self._link.read("EXISTS", COUNTERS + name))

    def _read(self, name: str, numbers: list[int]) -> Seen:
        keys, wanted = [COUNTERS + name], self.look(numbers)
        found = self._link.inside(lambda session: session.script(LOOK, keys, wanted), USE, writes=False)
        return self.seen(numbers, found)

    def _change(self, name: str, seen: Seen, pages: Pages) -> Seen | None:
        numbers, tries = self.wanted(name), []
        changed = [word for number, data in pages.changes().items() for word in (number, data)]
        words = seen.version or b"", os.urandom(8).hex(), self.look(numbers), "size", pages.size, *changed

        def store(session: Session) -> list[Any]:
            tries.append(1)
            found: list[Any] = session.script(CHANGE, [COUNTERS + name], *words)
            return found

        found = self._link.inside(store, USE)
        if found and len(tries) > 1:
            raise self._not_known()
        return self.seen(numbers, found) if found else None
