"""Carries a whole state over to another one, while programs that use the old one are running.

The order is what makes it safe, also if it is interrupted and done again: first the new state is written to, to see
that it can be; then all turns of the old state are taken, so that no call is under way; then the old state is retired,
so that nobody gets a nonce there any more; then everything is copied; and only then the new state may be used, above
all nonces of the old one. A record of the old state says how far that is: what was copied is not copied again, over
what the new state has by then.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.backends.beginning import begin
from krakenonce.errors import ConfigError, LaneTimeout, NonceStoreError, RecordChanged
from krakenonce.gateway.key_storage import RECORD, key_storage
from krakenonce.gateway.sent_record import LARGEST
from krakenonce.key.lane import lane_called
from krakenonce.key.limiter import Limiter
from krakenonce.key.naming import GLOBAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends import Backend

    Say = Callable[[str], object]


_CHUNK = 16_384  # bytes of sent calls that are written in one step
_OWN = "key-"  # what the counters of adopted keys begin with
_STEP = "move"  # the record that says how far the last move from a state, or to it, is
_NOT_COPIED = (RECORD, "begun", _STEP)


class Moved(NamedTuple):
    """What was carried over.

    Args:
        counters: The last nonce of each counter.
        limits: How many keys have rate limits or lockouts.
        records: How many records.
        local_keys: Whether there were local keys of a gateway.
        sent: How many local keys have sent calls.
    """

    counters: dict[str, int]
    limits: int
    records: int
    local_keys: bool
    sent: int


def move(source: Backend, target: Backend, *, patience: float = 30.0, say: Say = lambda _: None) -> Moved:
    """Move a state. It may be done again if it was interrupted, and the state may be moved back later.

    Args:
        source: Where it is. Programs that still use it get an error from then on, which names the new one.
        target: Where it shall be. Nonces and floors that it has already are kept, if they are larger.
        patience: Seconds to wait for the turn of each key.
        say: Called with a line for each step.

    Raises:
        ConfigError: There is nothing to move, it was moved before, one cannot be moved, or they are the same.
        LaneTimeout: A key is in use for longer. Nothing was changed.
        NonceStoreError: A state could not be read or written. Do it again: the old one may have been retired.
    """
    old, new = _movable(source), _movable(target)
    place = new.place
    if place == old.place:
        raise ConfigError(f"{place} cannot be moved to itself")
    before = old.moved_to()
    step = _step(source) if before else ""
    if not before and not source.scopes():
        raise ConfigError(f"there are no nonces in {old.place}, so nothing was moved; is its name right?")
    if before and step != "copying" and not (step == "copied" and before == place):
        raise ConfigError(f"{old.place} was moved to {before} already; nothing was changed")
    _note(target, _step(target) or "coming")  # or it cannot be written to, and nothing is changed
    with contextlib.ExitStack() as turns:
        for name in _turns(source):
            say(f"waiting for the turn {name}")
            turns.enter_context(_turn(source, name, patience))
        if step != "copied":
            _note(source, "copying")
        say(f"retiring {old.place}")
        try:
            return _carry_over(source, target, step, say)
        except (NonceStoreError, ConfigError) as error:
            raise NonceStoreError(f"{error}; the move is not complete, and {old.place} refuses: move again") from error


def _carry_over(source: Backend, target: Backend, step: str, say: Say) -> Moved:
    old, new = _movable(source), _movable(target)
    counters: dict[str, int] = old.retire(new.place)
    if step != "copied":
        say("copying")
        _copy(source, target)
        _note(source, "copied")
    moved = _found(source, counters)
    new.restore(counters)
    begin(target)
    _note(source, "done")
    return moved


def _step(store: Backend) -> str:
    """Return how far the last move from a state is: copying, copied or done."""
    return (store.records.read(_STEP) or b"").decode()


def _note(store: Backend, step: str) -> None:
    data = step.encode()
    before = store.records.read(_STEP)
    try:
        store.records.write(_STEP, data, before)
    except RecordChanged:
        raise NonceStoreError(f"{store!r} is being moved, or moved to, by another program; move again") from None


def _movable(store: Backend) -> Any:
    if not hasattr(store, "retire"):
        raise ConfigError(f"{store!r} cannot be moved")
    return store


def _turns(source: Backend) -> list[str]:
    """Return the names of all turns that are known: perhaps not those of keys that have no rate limits."""
    own = {scope.removeprefix(_OWN) for scope in source.scopes() if scope.startswith(_OWN)}
    lanes: list[str] = getattr(source, "lanes", list)()
    return sorted({GLOBAL, *own, *lanes, *_movable(source).names("rate limits")})


@contextlib.contextmanager
def _turn(source: Backend, name: str, patience: float) -> Any:
    lane = lane_called(source, name, patience)
    try:
        lane.acquire()
    except LaneTimeout as error:
        raise LaneTimeout(f"{error}. Nothing was moved; stop the program that has this turn, and move again") from None
    try:
        yield
    finally:
        lane.release()


def _copy(source: Backend, target: Backend) -> None:
    old = _movable(source)
    for name in old.names("rate limits"):
        Limiter(source.rate_limits).copy_to(Limiter(target.rate_limits), name)
    for name in _records(source):
        _copy_record(source, target, name)
    for name in old.names("sent calls"):
        _copy_sent(source, target, name)
    document = _local_keys(source)
    if document is not None:
        key_storage(target).change(lambda _: document, even_moved=True)


def _found(source: Backend, counters: dict[str, int]) -> Moved:
    """Return what is in a state."""
    limits, sent = (len(_movable(source).names(kept)) for kept in ("rate limits", "sent calls"))
    return Moved(counters, limits, len(_records(source)), _local_keys(source) is not None, sent)


def _records(source: Backend) -> list[str]:
    return [name for name in _movable(source).names("records") if name not in _NOT_COPIED]


def _local_keys(source: Backend) -> bytes | None:
    keys = key_storage(source)
    keys.version()
    return keys.read()


def _copy_record(source: Backend, target: Backend, name: str) -> None:
    data = source.records.read(name)
    if data is not None:
        try:
            target.records.write(name, data, target.records.read(name))
        except RecordChanged as error:
            raise NonceStoreError(f"{target!r} is in use already: {error}; stop the programs that use it") from None


def _copy_sent(source: Backend, target: Backend, name: str) -> None:
    """Copy the record of a local key's sent calls. Zeros are written only over what may be there."""
    data = source.sent_calls.step(name, lambda file: file.read(0, LARGEST))
    is_new, last = not target.sent_calls.exist(name), len(data) - _CHUNK
    for at in range(0, len(data), _CHUNK):
        piece = data[at : at + _CHUNK]
        if any(piece) or at >= last or not is_new:
            target.sent_calls.step(name, lambda file, at=at, piece=piece: file.write(at, piece))  # type: ignore[misc]
    target.sent_calls.sync(name)
