"""Carries a whole state over to another one, while programs that use the old one are running.

The order is what makes it safe, also if it is interrupted and done again: first all turns of the old state are taken,
so that no call is under way; then the new state is closed, so that nobody uses it before all is there; then the old one
is retired, so that nobody gets a nonce there any more; then everything is copied; and only then the new state may be
used, above all nonces of the old one. If it is closed no more, the move is complete.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.backends.beginning import CHECKED, begin
from krakenonce.backends.moved import coming_from, is_coming, was_moved
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
        NonceStoreError: A state could not be read or written. If some of it was done, it says so: do it again.
    """
    if _movable(source).place == _movable(target).place:
        raise ConfigError(f"{_movable(target).place} cannot be moved to itself")
    _check(source, target)
    with contextlib.ExitStack() as turns:
        for name in _turns(source):
            say(f"waiting for the turn {name}")
            turns.enter_context(_turn(source, name, patience))
        _check(source, target)  # another program may have moved it meanwhile
        say(f"retiring {_movable(source).place}")
        counters = _retire(source, target)
        say("copying")
        try:
            moved = _copy(source, target, counters)
            begin(target)
            _movable(target).restore(counters)
        except (NonceStoreError, ConfigError) as error:
            raise NonceStoreError(f"{error}; the move is not complete, so both states refuse: move again") from error
    return moved


def _check(source: Backend, target: Backend) -> None:
    """Raise ConfigError unless the state can be moved, or its move was interrupted."""
    old, new = _movable(source), _movable(target)
    to = old.moved_to()
    if to is None and not source.scopes():
        raise ConfigError(f"there are no nonces in {old.place}, so nothing was moved; is its name right?")
    if to is not None and is_coming(to):
        raise was_moved(old.place, to)
    if to is not None and not (to == new.place and new.moved_to() == coming_from(old.place)):
        raise ConfigError(f"{old.place} was moved to {to} already; nothing was changed")


def _retire(source: Backend, target: Backend) -> dict[str, int]:
    """Close the new state, and then retire the old one. Nothing is changed if one of them cannot be written."""
    old, new = _movable(source), _movable(target)
    before = new.moved_to()
    new.retire(coming_from(old.place))
    try:
        counters: dict[str, int] = old.retire(new.place)
    except NonceStoreError:
        with contextlib.suppress(NonceStoreError):
            if old.moved_to() is None:
                new.restore({}) if before is None else new.retire(before)
        raise
    return counters


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


def _copy(source: Backend, target: Backend, counters: dict[str, int]) -> Moved:
    old = _movable(source)
    limits, sent = old.names("rate limits"), old.names("sent calls")
    for name in limits:
        Limiter(source.rate_limits).copy_to(Limiter(target.rate_limits), name)
    records = [name for name in old.names("records") if name not in (RECORD, "begun", CHECKED)]
    for name in records:
        _copy_record(source, target, name)
    for name in sent:
        _copy_sent(source, target, name)
    keys = key_storage(source)
    keys.version()
    document = keys.read()
    if document is not None:
        key_storage(target).change(lambda _: document, even_moved=True)
    return Moved(counters, len(limits), len(records), document is not None, len(sent))


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
