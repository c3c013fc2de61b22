"""The error for programs that use a state after it was moved to another one."""

from __future__ import annotations

from krakenonce.errors import NonceStoreError


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
