"""A state that was moved away gives nothing to anybody, and may come back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import NonceStoreError
from tests.integration.key.helpers import in_thread, join

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.backends import Backend, FileStore
    from krakenonce.clock import Clock
    from krakenonce.testing.clock import ManualClock

ELSEWHERE = "postgresql://bot@db.example:5432/krakenonce"


@pytest.fixture
def movable(store: Backend) -> FileStore:
    """A backend whose state can be moved, new and empty."""
    if not hasattr(store, "retire"):
        pytest.skip("its state cannot be moved")
    return store  # type: ignore[return-value]


@pytest.fixture
def second(movable: Backend, opener: Callable[[Path, Clock], Backend], state: Path, clock: ManualClock) -> Backend:
    """Another backend on the same state."""
    return opener(state, clock)


def refused(store: Backend) -> list[str]:
    """What is said to one who wants to use a state."""
    said = []
    for use in (
        lambda: store.advance("global"),
        lambda: store.advance("never-used"),
        lambda: store.raise_floor("global", 5),
        lambda: store.raise_floor("far", 2**62),
    ):
        with pytest.raises(NonceStoreError) as error:
            use()
        said.append(str(error.value))
    return said


def test_a_state_that_was_moved_gives_no_nonce_to_anybody(
    movable: FileStore, second: Backend, opener: Callable[[Path, Clock], Backend], state: Path, clock: ManualClock
) -> None:
    """Nor to one who has used it for long, nor with a counter that is new; the error says where it is now."""
    last = max(each.advance("global") for each in (movable, second))
    second.raise_floor("far", 2**61)
    assert movable.moved_to() is None
    assert movable.retire(ELSEWHERE) == {"global": last, "far": 2**61}
    for each in (movable, second, opener(state, clock)):
        for said in refused(each):
            assert f" was moved to {ELSEWHERE}; nothing was issued or sent; name that state" in said
    assert movable.moved_to() == ELSEWHERE


def test_to_move_a_state_once_more_gives_the_same_nonces(movable: FileStore, second: FileStore) -> None:
    """So a move that was interrupted can be tried again, by any process."""
    last = movable.advance("global")
    assert movable.retire(ELSEWHERE) == second.retire("somewhere") == {"global": last}
    assert movable.moved_to() == "somewhere"


def test_a_state_that_comes_back_goes_on_above_both(movable: FileStore, second: Backend) -> None:
    """Above its own nonces, and above those that were issued elsewhere; also for one who has used it all the time."""
    own = second.advance("global")
    second.raise_floor("far", 2**61)
    movable.retire(ELSEWHERE)
    movable.restore({"global": own + 10**12, "far": 7, "new": 2**62})
    assert movable.moved_to() is None
    assert [each.advance("global") for each in (second, movable)] == [own + 10**12 + 1, own + 10**12 + 2]
    assert [second.advance("far"), second.advance("new")] == [2**61 + 1, 2**62 + 1]
    assert movable.retire(ELSEWHERE)["global"] == own + 10**12 + 2


def test_a_state_that_was_never_moved_takes_floors(movable: FileStore, second: Backend) -> None:
    """As one to which another is moved does."""
    movable.restore({"global": 2**61, "far": 2**62})
    assert [second.advance("global"), second.advance("far")] == [2**61 + 1, 2**62 + 1]
    movable.restore({"global": 5})
    assert second.advance("global") == 2**61 + 2


def test_nonces_that_are_taken_while_a_state_is_moved_are_below_what_the_move_has_seen(
    movable: FileStore, second: Backend
) -> None:
    """Whoever got one may send it: none above may have been issued in the old state, none below in the new one."""
    taken: list[int] = []
    begun = threading.Event()

    def take(store: Backend) -> None:
        try:
            while True:
                taken.append(store.advance("global"))
                if len(taken) > 50:
                    begun.set()
        except NonceStoreError as error:
            assert "was moved to" in str(error)  # noqa: PT017 - the other ends are failures of the thread
            taken.append(0)

    threads = [in_thread(take, store) for store in (movable, second, movable)]
    begun.wait()
    last = movable.retire(ELSEWHERE)["global"]
    join(threads)
    assert taken.count(0) == 3
    assert max(taken) <= last
