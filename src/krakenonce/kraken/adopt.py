"""Adopting a key from which Kraken has accepted a larger nonce than ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import InvalidNonce, PoisonedKey
from krakenonce.key.answers import result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.client import Kraken
    from krakenonce.manager import NonceManager


RESERVE = 2**53  # nonces left above the highest try, for later calls


class Adopted(NamedTuple):
    """An adopted key: it uses a counter of its own from now on.

    Args:
        scope: The name of the counter.
        nonce: The last nonce that Kraken has accepted.
        refused: How many nonces Kraken refused before.
    """

    scope: str
    nonce: int
    refused: int


def floors(last: int | None, now_ns: int) -> tuple[int, int, int]:
    """Return the floors to try, one after the other: each is above all nonces of one way of counting.

    Args:
        last: The last nonce issued for this key; None if there was none.
        now_ns: The wall clock, in nanoseconds since 1970.

    Returns:
        Nanoseconds; microseconds times 1024, which some bots use; and nearly the largest nonce. (Seconds,
        milliseconds, microseconds and tens of nanoseconds are below the first.)
    """
    ours = max(last or 0, now_ns)
    return ours, max(ours, now_ns // 1000 * 1024), 2**63 - RESERVE


def adopt(kraken: Kraken, manager: NonceManager, refused: Callable[[int], None] = lambda _: None) -> Adopted:
    """Give a key a counter above the nonce that Kraken remembers. This cannot be undone.

    Kraken checks the nonce of GetApiKeyInfo like that of any private call, so a client whose nonces are too small
    cannot ask for the largest one. So up to three nonces are tried, each far above the one before. Kraken counts each
    refused one as an Invalid nonce. The accepted one goes into the key's own counter. From then on Kraken refuses
    every program that uses smaller nonces with this key.

    Args:
        kraken: A client of the key that uses the counter ``manager.own_scope(key)``.
        manager: The manager that keeps the counter.
        refused: Called with each nonce that Kraken has refused.

    Raises:
        PoisonedKey: Kraken refused the third one, too. Make a new key.
        KrakenError: Another error, or no answer.
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
        "Kraken refused even nearly the largest nonce, so this API key cannot be used any more. "
        "Make a new API key at Kraken.",
        ("EAPI:Invalid nonce",),
    )
