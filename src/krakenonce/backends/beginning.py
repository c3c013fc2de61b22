"""A state that many hosts share is not begun by accident beside a state directory that has nonces already.

Kraken would refuse the first nonces of such a new state, if those of the directory are ahead of the clock; and programs
that still use the directory would send theirs in between.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, cast

from krakenonce.backends.file import FileStore
from krakenonce.backends.moved import going_to
from krakenonce.backends.state_name import VARIABLE, usual_directory
from krakenonce.errors import ConfigError, NonceStoreError, RecordChanged

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Backend, Movable

_RECORD = "begun"
CHECKED = "checked"


def begin(store: Backend) -> None:
    """Note that a state is in use, whatever else there is. May be called again. Raises NonceStoreError."""
    if store.records.read(_RECORD) is None:
        with contextlib.suppress(RecordChanged):
            store.records.write(_RECORD, json.dumps({"at": int(time.time())}).encode(), None)


def has_begun(store: Backend) -> bool:
    """Whether a state is in use. Raises NonceStoreError."""
    return store.records.read(_RECORD) is not None


def check_writing(store: Backend) -> None:
    """Raise NonceStoreError if a state cannot be written to. Changes nothing but what is named CHECKED.

    The counters are not checked in a state that was moved, or to which another one is being moved.
    """
    with contextlib.suppress(RecordChanged):  # by another one who checks
        store.records.write(CHECKED, b"", store.records.read(CHECKED))
    store.rate_limits.step(CHECKED, lambda kept: kept.write(0, CHECKED.encode()))
    store.sent_calls.step(CHECKED, lambda kept: kept.write(0, CHECKED.encode()))
    for scope in store.scopes()[:1] if cast("Movable", store).moved_to() is None else ():
        store.raise_floor(scope, 0)  # which is lower


def begin_or_refuse(store: Backend) -> None:
    """Note that a state is in use, unless it is new and this user's state directory has nonces.

    Raises:
        NonceStoreError: It has. The message says what to do.
    """
    if has_begun(store):
        return
    place = getattr(store, "place", store)
    with contextlib.suppress(ConfigError):  # no home directory, and so no nonces there
        directory = usual_directory().directory
        usual = None if directory is None else FileStore(directory)
        its = (place, going_to(str(place)))  # what is said where the move was interrupted
        if usual is not None and (usual.scopes() or usual.moved_to() in its):
            raise NonceStoreError(
                f"the state in {place} is empty, and {directory} has nonces; nothing was issued or sent. Carry them "
                f'over: krakenonce move {directory} "${VARIABLE}". If they are of no use there: krakenonce state init'
            )
    begin(store)
