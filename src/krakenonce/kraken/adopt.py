"""Adopting a key from which Kraken has accepted a larger nonce than ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import InvalidNonce, PoisonedKey
from krakenonce.key.answers import Reading, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.client import Kraken
    from krakenonce.manager import NonceManager


HIGHEST = 2**63 - 2**53  # above the nonces of all ways of counting, with room for years of calls
_NEAR = 2**40  # more than the calls, and the skips of a hundred crashes, since a lost or restored state
_LAST_ROOM = (2**63 - 2**47, 2**63 - 2**41)  # a key whose last nonce is above the second has hardly any nonces left
TRIES = 4  # Kraken counts each refused one, and locks an account out after too many


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


def floors(last: int | None, now_ns: int) -> tuple[int, ...]:
    """Return the floors to try in one run, each above the one before. A single one: there is no room above it.

    Args:
        last: The last nonce issued for this key; None if there was none.
        now_ns: The wall clock, in nanoseconds since 1970.

    Returns:
        Ours or the clock's nanoseconds; microseconds times 1024, which some bots use; nearly the largest nonce; a
        little above that, where Kraken is if an adoption's state was lost, or restored from a backup; and nearer to
        the end.
        (Seconds, milliseconds, microseconds and tens of nanoseconds are below the first.)
    """
    ours = max(last or 0, now_ns)
    higher = (now_ns // 1000 * 1024, HIGHEST, max(ours, HIGHEST) + _NEAR, *_LAST_ROOM)
    return (ours, *sorted(floor for floor in higher if ours < floor <= _LAST_ROOM[-1]))[:TRIES]


def adopt(kraken: Kraken, manager: NonceManager, refused: Callable[[int], None] = lambda _: None) -> Adopted:
    """Give a key a counter above the nonce that Kraken remembers. This cannot be undone.

    Kraken checks the nonce of GetApiKeyInfo like that of any private call, so a client whose nonces are too small
    cannot ask for the largest one. So up to four nonces are tried, each far above the one before. Kraken counts each
    refused one as an Invalid nonce. The accepted one goes into the key's own counter. From then on Kraken refuses
    every program that uses smaller nonces with this key.

    Args:
        kraken: A client of the key that uses the counter ``manager.own_scope(key)``.
        manager: The manager that keeps the counter.
        refused: Called with each nonce that Kraken has refused.

    Raises:
        PoisonedKey: Kraken refused all of them. The message says whether to adopt the key again, which goes on above
            them, or whether hardly any nonces are left.
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
        with Reading("GetApiKeyInfo"):
            last = int(info["nonce"])
        manager.raise_floor(last, scope)
        kraken.calls.api_key.note("adopted", "GetApiKeyInfo", nonce=last, text=f"it uses the counter {scope}")
        return Adopted(scope, last, count)
    raise PoisonedKey(_advice(tried[-1]), ("EAPI:Invalid nonce",))


def _advice(floor: int) -> str:
    if floor >= _LAST_ROOM[-1]:
        return (
            "Kraken refused even nearly the largest nonce, so this API key has hardly any nonces left. "
            "Make a new API key at Kraken."
        )
    return (
        f"Kraken refused {TRIES} nonces, but there are larger ones. Make no calls with this API key for 15 minutes, "
        "because Kraken counts refused nonces. Then adopt it again, which goes on above them; or make a new API key."
    )
