"""The error for programs that use a state after it was moved to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Backend, Movable


def was_moved(place: str, to: str) -> NonceStoreError:
    """Return the error.

    Args:
        place: Where the state was.
        to: Where it is now.
    """
    return NonceStoreError(
        f"the state in {place} was moved to {to}; nothing was issued or sent; name that state, in "
        "$KRAKENONCE_STATE_DIR for example"
    )


def refuse_moved_state(store: Backend) -> None:
    """Raise NonceStoreError if the state was moved to another one."""
    if hasattr(store, "moved_to"):
        movable = cast("Movable", store)
        if to := movable.moved_to():
            raise was_moved(movable.place, to)
