"""The log of private requests, and the message when nonces were refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Arrival", "explain"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One private request, in the order of arrival.

    Args:
        at: When it was processed, in seconds since 1970.
        account: The name of the account, ``None`` for an unknown key.
        method: Such as ``Balance``.
        nonce: Its nonce, ``None`` when missing or unreadable.
        accepted: Whether the nonce was accepted; it is used then, whatever the answer is.
        error: The error string of the answer, ``None`` if it has none.
        sender_gone: Whether the sender had closed the connection before the request was processed.
        is_copy: Whether the fault ``duplicate`` made it; its sender sent one request.
        last_nonce: The last nonce accepted before it, ``None`` for an unknown key.
    """

    at: float
    account: str | None
    method: str
    nonce: int | None
    accepted: bool
    error: str | None
    sender_gone: bool
    is_copy: bool = False
    last_nonce: int | None = None


def explain(refused: Sequence[Arrival], calls: int) -> str:
    """Return the message for requests whose nonce was refused.

    Args:
        refused: These requests.
        calls: How many private requests there were in all.
    """
    lines = [
        f"  {each.account}: {each.method} with {'no readable nonce' if each.nonce is None else f'nonce {each.nonce}'}; "
        f"the last one accepted was {each.last_nonce}"
        for each in refused[:_SHOWN]
    ]
    if len(refused) > _SHOWN:
        lines.append(f"  and {len(refused) - _SHOWN} more")
    return "\n".join(
        [
            f"{len(refused)} of {calls} private calls were answered with EAPI:Invalid nonce:",
            *lines,
            "The calls of a key have to reach Kraken one after the other, each with a larger nonce.",
        ]
    )
