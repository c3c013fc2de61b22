"""The error for programs that use a state after it was moved to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Backend, Movable


_COMING, _GOING = "from:", "to:"  # what begins no place


def coming_from(place: str) -> str:
    """Return what a state was moved to while all of the state in *place* is being moved to it: nowhere."""
    return f"{_COMING}{place}"


def is_coming(to: str) -> bool:
    """Whether that is what :func:`coming_from` has returned."""
    return to.startswith(_COMING)


def going_to(place: str) -> str:
    """Return what a state was moved to while it is being moved to *place*, which nobody may use yet."""
    return f"{_GOING}{place}"


def gone_to(to: str) -> str:
    """Return the place itself, also of what :func:`going_to` has returned."""
    return to.removeprefix(_GOING)


def was_moved(place: str, to: str) -> NonceStoreError:
    """Return the error.

    Args:
        place: Where the state was.
        to: Where it is now; or :func:`coming_from` or :func:`going_to`.
    """
    if is_coming(to):
        return _is_moving(to.removeprefix(_COMING), place)
    if to.startswith(_GOING):
        return _is_moving(place, gone_to(to))
    return NonceStoreError(
        f"the state in {place} was moved to {to}; nothing was issued or sent; name that state, in "
        "$KRAKENONCE_STATE_DIR for example"
    )


def _is_moving(old: str, new: str) -> NonceStoreError:
    return NonceStoreError(
        f"not all of the state in {old} was moved to {new} yet; nothing was issued or sent; if the move was "
        f"interrupted, run it again: krakenonce move FROM TO; if {new} is lost for good, with --undo 0"
    )


def refuse_moved_state(store: Backend) -> None:
    """Raise NonceStoreError if the state was moved to another one."""
    if hasattr(store, "moved_to"):
        movable = cast("Movable", store)
        if to := movable.moved_to():
            raise was_moved(movable.place, to)
