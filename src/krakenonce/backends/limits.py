"""Rate counters on a server: they come along with the turn of their key, and a change is one compare-and-set.

A step is taken with what was read, without a lock, and is written only if nobody else has changed the counters since.
If somebody has, the refusal brings what is there now, and the step is taken again with that.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from krakenonce.backends.pages import Pages, likely, numbers_of
from krakenonce.errors import NonceStoreError
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_T = TypeVar("_T")
_FRESH = 1.0  # seconds for which what came with the turn may be used
_PATIENCE = 10.0  # seconds in which others may be faster
USE = "keep the rate limits in"


class Seen(NamedTuple):
    """What a server has said about the counters of a key.

    Args:
        version: Another one after each change; None: there are no counters yet.
        size: How many bytes there are.
        pages: The pages that were asked for, as :class:`Pages` takes them.
        server_time: Seconds since 1970 by the server's clock.
        at: When that was, by this process's own clock.
    """

    version: Any
    size: int
    pages: Mapping[int, bytes]
    server_time: float
    at: float


class ServerLimits(ABC):
    """The rate counters on a server. The counters of a key have the name of its turn.

    Args:
        link: The session to use.
        page: Bytes of a page.
    """

    def __init__(self, link: Any, page: int) -> None:
        self._link = link
        self._page = page
        self._known: set[str] = set()
        self._wanted: dict[str, list[int]] = {}  # the pages that the steps before have used
        self._seen: dict[str, Seen] = {}  # what came with a turn

    def wanted(self, name: str) -> list[int]:
        """Return the pages that the next step will probably want."""
        return self._wanted.get(name, [0])

    def expect(self, name: str, parts: Iterable[tuple[int, int]]) -> None:
        """Say what the next step will read or write besides the beginning: where, and how many bytes."""
        numbers = [number for at, size in parts for number in numbers_of(self._page, at, at + size)]
        self._wanted[name] = likely([*numbers, *self.wanted(name)])

    def see(self, name: str, seen: Seen) -> None:
        """Keep what came with the turn for the next step."""
        self._seen[name] = seen

    def forget(self, name: str) -> None:
        """The turn is over."""
        self._seen.pop(name, None)

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes. Raises NonceStoreError."""
        seen = self._seen.get(name)
        if name in self._known:
            return True
        is_there = seen.version is not None if seen is not None and _is_fresh(seen) else self._is_there(name)
        if is_there:
            self._known.add(name)
        return is_there

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* with the counters of this name, and return what it returns. It may be called several times.

        Raises:
            NonceStoreError: They cannot be read or written, or the connection was lost on the way.
        """
        check_name("rate limits", name, NonceStoreError)
        self._link.refuse_interrupter()
        with self._link.lock:
            seen = self._seen.pop(name, None)
            until = time.monotonic() + _PATIENCE
            while True:
                if seen is None or not _is_fresh(seen):
                    seen = self._read(name, self.wanted(name))
                now = seen.server_time + time.monotonic() - seen.at
                pages = Pages(self._page, seen.pages, seen.size, now, partial(self._more, name, seen))
                try:
                    result = step(pages)
                    self._wanted[name] = pages.wanted(self.wanted(name))
                    is_done = seen.version is not None and not pages.is_changed
                    seen = None if is_done else self._change(name, seen, pages)
                except _Changed as changed:
                    seen = changed.seen
                if seen is None:
                    self._known.add(name)
                    return result
                if time.monotonic() > until:
                    raise NonceStoreError(
                        f"cannot {USE} {self._link.server.url}: others have changed them all the time for "
                        f"{_PATIENCE:g} s; nothing was issued or sent"
                    )

    def _more(self, name: str, before: Seen, numbers: list[int]) -> Mapping[int, bytes]:
        """Return more pages of the same version."""
        seen = self._read(name, sorted({0, *numbers}))
        if seen.version != before.version:
            raise _Changed(seen)
        return seen.pages

    def _not_known(self) -> NonceStoreError:
        """Return the error of a change that was refused after the answer to a try before it was lost."""
        return NonceStoreError(
            f"cannot {USE} {self._link.server.url}: a connection was lost, and whether the change was stored is not "
            "known; nothing was issued or sent"
        )

    @abstractmethod
    def _is_there(self, name: str) -> bool:
        """Ask whether there are counters of this name."""

    @abstractmethod
    def _read(self, name: str, numbers: list[int]) -> Seen:
        """Read pages, in one round trip. For a caller who has the link's lock."""

    @abstractmethod
    def _change(self, name: str, seen: Seen, pages: Pages) -> Seen | None:
        """Write what was changed, in one round trip, if the version is still the one that was seen.

        Returns None if that was done, else what is there now. For a caller who has the link's lock.
        """


class _Changed(Exception):
    """Somebody else has changed the counters while a step was reading them."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen


def _is_fresh(seen: Seen) -> bool:
    return time.monotonic() - seen.at < _FRESH
