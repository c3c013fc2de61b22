"""The error for programs that use a state after it was moved to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Backend, Movable


_COMING = "from:"  # what begins no place


def coming_from(place: str) -> str:
    """Return what a state was moved to while all of the state in *place* is being moved to it: nowhere."""
    return f"{_COMING}{place}"


def is_coming(to: str) -> bool:
    """Whether that is what :func:`coming_from` has returned."""
    return to.startswith(_COMING)


def was_moved(place: str, to: str) -> NonceStoreError:
    """Return the error.

    Args:
        place: Where the state was.
        to: Where it is now; or :func:`coming_from`.
    """
    if is_coming(to):
        return NonceStoreError(
            f"not all of the state in {to.removeprefix(_COMING)} was moved to {place} yet; nothing was issued or sent; "
            "if the move was interrupted, run it again"
        )
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
