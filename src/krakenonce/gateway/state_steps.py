"""Steps that the event loop does not wait for: if the state is a database, each is a round trip or several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from krakenonce.key.far import is_far, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends import Backend


_T = TypeVar("_T")
_AT_ONCE = 8


class StateSteps:
    """Takes steps at once if the state is on this host, where they take microseconds; else in threads.

    Args:
        store: The state.
    """

    def __init__(self, store: Backend) -> None:
        self._store = store
        self.are_far = is_far(store)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "krakenonce-state") if self.are_far else None

    async def run(self, step: Callable[[], _T]) -> _T:
        """Take a step and return its result. It comes to its end even if nobody waits for it any more."""
        return step() if self._threads is None else await take(self._store, step, self._threads)

    def end(self) -> None:
        """End the threads, once they are done with what they have begun; a step that still comes is taken at once."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
