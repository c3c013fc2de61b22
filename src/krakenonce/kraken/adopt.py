"""Taking over a key for which Kraken remembers a larger number than ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import InvalidNonce, PoisonedKey
from krakenonce.kraken.errors import result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.client import Kraken
    from krakenonce.manager import NonceManager

__all__ = ["Adopted", "adopt", "floors"]

ROOM = 2**53  # numbers left above the highest jump, for calls to come


class Adopted(NamedTuple):
    """A key that takes its numbers from a counter of its own from now on.

    Args:
        scope: The counter.
        nonce: The number that Kraken has accepted last.
        refused: How many numbers Kraken refused on the way.
    """

    scope: str
    nonce: int
    refused: int


def floors(last: int | None, now_ns: int) -> tuple[int, int, int]:
    """Return the floors to try, one after the other: each is above all numbers of a way of counting.

    Args:
        last: The largest number handed out here so far.
        now_ns: The wall clock, in nanoseconds since 1970.

    Returns:
        Nanoseconds; microseconds times 1024, which some bots use; and nearly the largest number there is. (Seconds,
        milliseconds, microseconds and tens of nanoseconds are below the first.)
    """
    ours = max(last or 0, now_ns)
    return ours, max(ours, now_ns // 1000 * 1024), 2**63 - ROOM


def adopt(kraken: Kraken, manager: NonceManager, refused: Callable[[int], None] = lambda _: None) -> Adopted:
    """Put a key's numbers above the one that Kraken remembers, for good.

    GetApiKeyInfo is checked for its nonce like any private call, so it cannot tell a client whose numbers are too
    low. So up to three numbers are tried, each far above the one before; each that is refused is an Invalid nonce in
    Kraken's books. The one that is accepted goes into a counter of the key's own. There is no way back: whoever
    uses smaller numbers on this key is refused from now on.

    Args:
        kraken: A client of the key, which takes its numbers from ``manager.own_scope(key)``.
        manager: The manager to keep the counter in.
        refused: Called with each number that Kraken has refused.

    Raises:
        PoisonedKey: The third was refused too: only a new key helps.
        KrakenError: Kraken answered something else, or not at all.
    """
    scope = manager.own_scope(kraken.key)
    tried = floors(manager.peek(manager.scope_of(kraken.key)), time.time_ns())
    for count, floor in enumerate(tried):
        manager.raise_floor(floor, scope)  # durable before Kraken sees it
        try:
            info = result_of(kraken.query_private("GetApiKeyInfo"))
        except InvalidNonce:
            refused(manager.peek(scope) or 0)
            continue
        manager.raise_floor(int(info["nonce"]), scope)
        return Adopted(scope, int(info["nonce"]), count)
    raise PoisonedKey(
        "Kraken refused numbers up to nearly the largest there is: this key cannot be used any more. Make a new key "
        "at Kraken, which starts afresh.",
        ("EAPI:Invalid nonce",),
    )
