"""Carries a whole state over to another one, while programs that use the old one are running.

The order is what makes it safe, also if it is interrupted and done again: first all turns of the old state are taken,
so that no call is under way; then the new state is closed, so that nobody uses it before all is there; then the old one
is retired, so that nobody gets a nonce there any more; then everything is copied; then the old one notes that the move
is complete; and only then the new state may be used, above all nonces of the old one. So as long as the old state does
not say that the move is complete, nobody has used the new one, and the move can be undone.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.backends.beginning import CHECKED, begin, check_writing
from krakenonce.backends.moved import coming_from, going_to, gone_to, is_coming, was_moved
from krakenonce.backends.records import MOST
from krakenonce.errors import ConfigError, LaneTimeout, NonceStoreError, RecordChanged
from krakenonce.gateway.key_storage import RECORD, KeyRecord, key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.sent_record import LARGEST
from krakenonce.key.lane import lane_called
from krakenonce.key.limiter import Limiter
from krakenonce.key.naming import ACCOUNT, GLOBAL
from krakenonce.rule import NONCE_MAX, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends import Backend
    from krakenonce.backends.protocol import Kept

    Say = Callable[[str], object]


_CHUNK = 16_384  # bytes of sent calls that are written in one step
_OWN = "key-"  # what the counters of adopted keys begin with
_CALLS = 10**9  # more than a key makes in ten years
_AHEAD = 3600 * SECOND  # more than a server's clock is wrong, as a rule


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
    with _all_turns(source, patience, say):
        _check(source, target)  # another program may have moved it meanwhile
        say(f"retiring {_movable(source).place}")
        counters = _retire(source, target)
        say("copying")
        try:
            moved = _copy(source, target, counters)
            begin(target)
            counters |= _movable(source).retire(_movable(target).place)  # it is complete, also if it was undone
            _movable(target).restore(counters)
        except (NonceStoreError, ConfigError) as error:
            raise NonceStoreError(
                f"{error}; the move is not complete, so both states refuse: move again, or undo it with --undo 0"
            ) from error
    return moved._replace(counters=counters)


def undo(
    source: Backend, target: Backend, floor: int, *, patience: float = 30.0, say: Say = lambda _: None
) -> dict[str, int]:
    """Let an old state be used again, because the new one is lost for good. Returns the last nonce of each counter.

    If the move was not complete, nobody has used the new state, and nothing is lost. Else it may have issued nonces.

    Args:
        source: The old state.
        target: The new one, which need not answer.
        floor: Which no nonce of the new state was larger than; 0: the move was not complete.
        patience: Seconds to wait for the turn of each key.
        say: Called with a line for each step.

    Raises:
        ConfigError: It was not moved there, the new state answers, or a floor is needed. Nothing was changed.
        LaneTimeout: A key is in use for longer. Nothing was changed.
        NonceStoreError: The old state could not be read or written.
    """
    old = _movable(source)
    with _all_turns(source, patience, say):
        old.restore(_floors_from(source, target, floor, say))
        return {scope: last for scope in source.scopes() if (last := source.peek(scope)) is not None}


def _floors_from(source: Backend, target: Backend, floor: int, say: Say) -> dict[str, int]:
    """Return what the nonces of an old state have to be larger than when its move is undone. Raises ConfigError."""
    old, new = _movable(source), _movable(target)
    to, there = old.moved_to(), None
    if to not in (new.place, going_to(new.place)):
        raise ConfigError(f"{old.place} was not moved to {new.place}; nothing was changed")
    try:
        there = new.moved_to()
        is_used = there is not None or bool(target.scopes())
    except NonceStoreError as error:
        is_used = False
        say(f"{error}; it counts as lost")
    if there == coming_from(old.place):  # nobody has used it since: what it has, it has from before
        floors: dict[str, int] = new.retire(old.place)
        return floors
    if to == going_to(new.place):
        return {}
    if is_used:
        raise ConfigError(f"{new.place} answers; nothing was changed; move it back: krakenonce move TO FROM")
    lost = (
        f"the move to {new.place} was complete: nonces that it has issued since are not known in {old.place}, nor are "
        "its rate limits, nor which calls were sent (a repeat would be sent again), and local keys that were revoked "
        "there are valid again"
    )
    if not floor:
        raise ConfigError(
            f"{lost}; nothing was changed; if that is right, give a floor that is above all its nonces: krakenonce "
            f"move FROM TO --undo {time.time_ns() + _AHEAD}, for example"
        )
    say(lost)
    return {scope: min(max(floor, last + _CALLS), NONCE_MAX) for scope, last in old.retire(to).items()}


def _check(source: Backend, target: Backend) -> None:
    """Raise ConfigError unless the state can be moved, or its move was interrupted."""
    old, new = _movable(source), _movable(target)
    to = old.moved_to()
    if to is None and not source.scopes():
        raise ConfigError(f"there are no nonces in {old.place}, so nothing was moved; is its name right?")
    if to is not None and is_coming(to):
        raise was_moved(old.place, to)
    if to not in (None, going_to(new.place)) and not (
        to == new.place and new.moved_to() == coming_from(old.place)  # it has not heard that it is complete
    ):
        raise ConfigError(f"{old.place} was moved to {gone_to(str(to))} already; nothing was changed")
    _check_local_keys(source, target)


def _check_local_keys(source: Backend, target: Backend) -> None:
    """Raise ConfigError if there are too many for the new state, or it has some that the move would replace."""
    new, ours, theirs = _movable(target), key_storage(source), key_storage(target)
    ours.version()
    document = ours.read()
    if isinstance(theirs, KeyRecord) and len(document or b"") > MOST:
        raise ConfigError(f"there is no room for so many local keys in {new.place}; nothing was changed; revoke some")
    if document is None or new.moved_to() is not None:  # what is in a state that was moved away, is elsewhere as well
        return
    here = LocalKeys(ours).all()
    if lost := [each.name for each in LocalKeys(theirs).all() if each not in here]:
        raise ConfigError(
            f"{new.place} has local keys of its own, which would be lost ({', '.join(lost)}); nothing was changed; "
            f"revoke them there first: krakenonce gateway revoke-key --name {lost[0]} --state TO"
        )


def _retire(source: Backend, target: Backend) -> dict[str, int]:
    """Close the new state, check it, and then retire the old one. Nothing is changed if one cannot be written."""
    old, new = _movable(source), _movable(target)
    before = new.moved_to()
    new.retire(coming_from(old.place))
    try:
        check_writing(target)
        counters: dict[str, int] = old.retire(going_to(new.place))
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
    return sorted({GLOBAL, *own, *lanes, *_keys(_names(source, "rate limits"))})


def _names(store: Backend, kept: Kept) -> list[str]:
    return [name for name in _movable(store).names(kept) if name != CHECKED]


def _keys(limits: list[str]) -> list[str]:
    """Return which rate limits are those of a key, and not of an account with several."""
    return [name for name in limits if not name.startswith(ACCOUNT)]


@contextlib.contextmanager
def _all_turns(source: Backend, patience: float, say: Say) -> Any:
    with contextlib.ExitStack() as turns:
        for name in _turns(source):
            say(f"waiting for the turn {name}")
            turns.enter_context(_turn(source, name, patience))
        yield


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
    limits, sent = _names(source, "rate limits"), _names(source, "sent calls")
    for name in limits:
        Limiter(source.rate_limits).copy_to(Limiter(target.rate_limits), name)
    records = [name for name in _names(source, "records") if name not in (RECORD, "begun")]
    for name in records:
        _copy_record(source, target, name)
    for name in sent:
        _copy_sent(source, target, name)
    keys = key_storage(source)
    keys.version()
    document = keys.read()
    if document is not None:
        key_storage(target).change(lambda _: document, even_moved=True)
    return Moved(counters, len(_keys(limits)), len(records), document is not None, len(sent))


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
