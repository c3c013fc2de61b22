"""What every backend promises."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from krakenonce.backends import Backend, MemoryStore, memory
from krakenonce.errors import ConfigError, InvalidFloor, InvalidScope, NonceExhausted, NonceStoreError, RecordChanged
from krakenonce.rule import NONCE_MAX
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import rising
from tests.integration.backends.test_records import add
from tests.integration.key.helpers import in_child, in_thread, join, until

NOW = ManualClock().now_ns()


def test_a_pickled_backend_is_refused_or_shares_the_counter(store: Backend) -> None:
    """A copy in another process must not count by itself."""
    first = store.advance("global")
    try:
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - we have made it
    except TypeError as error:
        assert "pickle" in str(error)  # noqa: PT017 - one that is not refused is right, too
    else:
        assert [copy.advance("global"), store.advance("global")] == [first + 1, first + 2]


def test_nonces_follow_the_clock(store: Backend, clock: ManualClock) -> None:
    """With time between the calls, the nonce is the time."""
    for time in (NOW, NOW + 7, NOW + 5000):
        clock.set_wall(time)
        assert store.advance("global") == time


def test_nonces_rise_by_one_while_the_clock_does_not_change(store: Backend) -> None:
    """A frozen clock gives consecutive nonces."""
    assert [store.advance("global") for _ in range(4)] == [NOW, NOW + 1, NOW + 2, NOW + 3]


def test_nonces_rise_while_the_clock_falls(store: Backend, clock: ManualClock) -> None:
    """An hour back makes no nonce smaller."""
    first = store.advance("global")
    clock.step(-3600)
    assert [store.advance("global") for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_scopes_are_counters_of_their_own(store: Backend) -> None:
    """One counter's nonces do not affect another's."""
    store.raise_floor("far-ahead", 2 * NOW)
    assert store.advance("far-ahead") == 2 * NOW + 1
    assert store.advance("global") == NOW
    assert store.scopes() == ["far-ahead", "global"]


def test_peek_returns_the_last_nonce_and_changes_nothing(store: Backend) -> None:
    """Peeking is free: None before the first nonce, then the last one."""
    assert store.peek("global") is None
    assert store.scopes() == []
    assert store.stats("global")[:4] == ("global", None, None, 0)
    number = store.advance("global")
    assert [store.peek("global"), store.peek("global")] == [number, number]
    assert store.advance("global") == number + 1


def test_the_next_nonce_is_above_a_floor(store: Backend) -> None:
    """After raise_floor(F) the next nonce is F + 1 if the clock is not ahead of that."""
    store.raise_floor("global", NOW + 500)
    assert store.peek("global") == NOW + 500
    assert store.advance("global") == NOW + 501


@pytest.mark.parametrize("floor", [0, 5, NOW - 1, NOW])
def test_a_lower_floor_changes_nothing(store: Backend, floor: int) -> None:
    """A floor never lowers the nonces."""
    first = store.advance("global")
    store.raise_floor("global", floor)
    assert store.advance("global") == first + 1


@pytest.mark.parametrize("floor", [-1, NONCE_MAX, 2**64, True, 1.0])
def test_a_floor_out_of_range_is_refused_and_changes_nothing(store: Backend, floor: int) -> None:
    """Negative floors, and those that leave no nonce, are errors."""
    with pytest.raises(InvalidFloor):
        store.raise_floor("global", floor)
    assert store.advance("global") == NOW


def test_the_end_is_refused_before_anything_is_written(store: Backend) -> None:
    """At 2^63 - 1 the scope ends, and stays at its end."""
    store.raise_floor("global", NONCE_MAX - 1)
    assert store.advance("global") == NONCE_MAX
    for _ in range(2):
        with pytest.raises(NonceExhausted):
            store.advance("global")
    assert store.peek("global") == NONCE_MAX


@pytest.mark.parametrize("scope", ["", "a/b", "..", "é", "x" * 300])
def test_a_bad_scope_is_refused_everywhere(store: Backend, scope: str) -> None:
    """No method takes a name that cannot be a file's."""
    for call in (
        lambda: store.advance(scope),
        lambda: store.peek(scope),
        lambda: store.raise_floor(scope, 1),
        lambda: store.stats(scope),
    ):
        with pytest.raises(InvalidScope):
            call()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that interrupt each other at every opportunity."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_no_nonce_is_issued_twice_to_threads(store: Backend, restless: None) -> None:
    """More threads than there are places at the files, one counter: all nonces differ and each thread's rise."""
    taken: list[list[int]] = [[] for _ in range(12)]

    def run(mine: list[int]) -> None:
        mine.extend(store.advance("global") for _ in range(300))

    threads = [threading.Thread(target=run, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(rising(mine) for mine in taken)
    assert sorted(n for mine in taken for n in mine) == list(range(NOW, NOW + 3600))
    assert store.stats("global").issued == 3600


class SlowClock(ManualClock):
    """A clock that makes its first caller wait, and reports that."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.go_on = threading.Event(), threading.Event()

    def now_ns(self) -> int:
        """The wall clock, at last."""
        if not self.inside.is_set():
            self.inside.set()
            self.go_on.wait()
        return super().now_ns()


class TellingLock:
    """A lock that reports when a caller has found it taken."""

    def __init__(self) -> None:
        self.found_taken = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.found_taken.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _is_owned(self) -> bool:
        return False


def test_a_thread_waits_while_another_is_inside_the_memory_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of the step, a thread keeps the others out, and they get larger nonces."""
    slow = SlowClock()
    store, lock = MemoryStore(clock=slow), TellingLock()
    monkeypatch.setattr(memory._section, "lock", lock)
    taken: list[int] = []
    first = in_thread(lambda: taken.append(store.advance("global")))
    slow.inside.wait()
    second = in_thread(lambda: taken.append(store.advance("global")))
    until(lambda: lock.found_taken.is_set() or not second.is_alive())
    waited = second.is_alive()
    slow.go_on.set()
    join([first, second])
    assert waited
    assert taken == [NOW, NOW + 1]


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    """One that was inside the memory backend when it forked is not there to leave it."""
    slow = SlowClock()
    store = MemoryStore(clock=slow)
    inside = in_thread(store.advance, "global")
    slow.inside.wait()

    def take() -> int:
        signal.alarm(10)  # kills the child
        return store.advance("global")

    nonce = in_child(take)
    slow.go_on.set()
    inside.join()
    assert nonce == str(NOW)


def test_a_floor_holds_while_threads_take_nonces(store: Backend, restless: None) -> None:
    """A call after raise_floor has returned gets a nonce above it, whatever others were about to write."""
    enough = threading.Event()

    def run() -> None:
        while not enough.is_set():
            store.advance("global")

    threads = [threading.Thread(target=run) for _ in range(9)]
    for thread in threads:
        thread.start()
    floors = [NOW + 10**6 * step for step in range(1, 101)]
    nonces = []
    for floor in floors:
        store.raise_floor("global", floor)
        nonces.append(store.advance("global"))
    enough.set()
    for thread in threads:
        thread.join()
    assert all(number > floor for number, floor in zip(nonces, floors, strict=True))


def test_closing_may_be_repeated(store: Backend) -> None:
    """Closing twice is closing once."""
    store.advance("global")
    store.close()
    store.close()


def test_a_closed_backend_opens_again(store: Backend) -> None:
    """Closing gives back what was opened; a later call goes on."""
    before = len(os.listdir("/dev/fd"))
    store.raise_floor("global", NOW)
    first = store.advance("global")
    store.rate_limits.step("key", lambda counters: counters.write(0, b"some"))
    store.records.write("name", b"data", None)
    store.close()
    assert len(os.listdir("/dev/fd")) == before
    assert store.advance("global") == first + 1


def test_a_record_is_what_was_written_last(store: Backend) -> None:
    """None before; then the data, which the next writer has to know."""
    assert store.records.read("keys") is None
    store.records.write("keys", b"one", None)
    assert store.records.read("keys") == b"one"
    store.records.write("keys", b"", b"one")
    assert store.records.read("keys") == b""
    assert store.records.read("others") is None


def test_what_another_writer_has_written_is_not_overwritten(store: Backend) -> None:
    """Nor is a record that was made meanwhile, or that is not there."""
    store.records.write("keys", b"one", None)
    store.records.write("keys", b"", b"one")
    for name, before in (("keys", b"one"), ("keys", None), ("others", b"one"), ("others", b"")):
        found = store.records.read(name)
        with pytest.raises(RecordChanged, match=f"record {name}; nothing was written"):
            store.records.write(name, b"three", before)
        assert store.records.read(name) == found


@pytest.mark.parametrize("name", ["", "a/b", "..", "é", "x" * 65, 5])
def test_a_name_that_cannot_be_a_file_s_is_refused(store: Backend, name: str) -> None:
    """As for a counter."""
    calls: list[Callable[[], object]] = [lambda: store.records.read(name), lambda: store.records.write(name, b"", None)]
    for call in calls:
        with pytest.raises(ConfigError, match="the name of a record has 1 to 64 letters"):
            call()


def test_a_record_is_small(store: Backend) -> None:
    """It is read and written as a whole."""
    store.records.write("keys", bytes(65536), None)
    with pytest.raises(ConfigError, match="at most 65536 bytes"):
        store.records.write("others", bytes(65537), None)
    assert store.records.read("others") is None


def test_nothing_is_lost_among_threads(store: Backend) -> None:
    """Of those who have read the same, one writes."""
    join([in_thread(add, store.records, 20) for _ in range(4)])
    assert store.records.read("number") == b"80"


def test_a_gate_is_one_object_and_is_taken_and_released(store: Backend) -> None:
    """Releasing it twice does no harm, and the gates of other keys are free meanwhile."""
    gate, other = store.gate("one"), store.gate("two")
    assert store.gate("one") is gate
    for _ in range(2):
        assert gate.try_acquire()
        assert other.try_acquire()
        assert gate.holder()
        other.release()
        gate.release()
        gate.release()


def test_rate_counters_are_bytes_that_stay(store: Backend) -> None:
    """None at first; and a step that fails does not stop the next one."""
    assert not store.rate_limits.exist("key")
    store.rate_limits.step("key", lambda counters: counters.write(2, b"some"))
    assert store.rate_limits.exist("key")
    with pytest.raises(ZeroDivisionError):
        store.rate_limits.step("key", lambda _: 1 // 0)
    assert store.rate_limits.step("key", lambda counters: (counters.read(0, 2), counters.read(2, 9))) == (
        b"\0\0",
        b"some",
    )


def test_a_handler_that_interrupts_a_step_is_refused(store: Backend) -> None:
    """It would wait for its own thread."""
    with pytest.raises(NonceStoreError, match="signal handler"):
        store.rate_limits.step("key", lambda _: store.rate_limits.step("key", lambda _: None))
    with pytest.raises(NonceStoreError, match="signal handler"):
        store.rate_limits.step("key", lambda _: store.records.write("name", b"", None))
    store.records.write("name", b"", None)
