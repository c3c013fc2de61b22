"""The counters: a key each, whose value only rises, because it is replaced only if it is smaller than the new one.

etcd compares bytes. So all numbers have 19 digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.etcd.moved import is_here, moved_key, refuse_moved
from krakenonce.backends.etcd.txn import fetch, found, is_absent, is_made_at, is_value, put, succeeded
from krakenonce.errors import NonceStoreError
from krakenonce.rule import NONCE_MAX, SECOND, in_range, next_nonce

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.backends.etcd.gate import EtcdGate
    from krakenonce.backends.etcd.txn import Found
    from krakenonce.backends.etcd.wire import Json, Wire
    from krakenonce.clock import Clock


_AHEAD = 60 * SECOND  # how far a host's clock may drive the nonces ahead of the servers'


class Numbers:
    """Takes nonces, and remembers the last ones, so that the usual nonce is one transaction.

    Args:
        clock: The host's clock.
        is_capped: Whether it counts for at most a minute ahead of the servers' clocks, and not at all if it cannot be
            right.
    """

    def __init__(self, clock: Clock, *, is_capped: bool) -> None:
        self._clock = clock
        self._is_capped = is_capped
        self._last: dict[str, int] = {}

    def take(self, wire: Wire, key: str, gates: list[EtcdGate], along: Iterable[Json] = ()) -> tuple[int, Json]:
        """Store the next nonce; return it, and the answer to its request and those that were made along with it.

        Raises TurnLost, another NonceError, Lost or Refused.
        """
        places = [gate.fence() for gate in gates]
        fences = [is_made_at(place.key, place.made) for place in places]
        otherwise = [*_look(wire, key), *(fetch(place.key, only_names=True) for place in places)]
        last, seen = self._last.get(key), False
        is_there = True  # the counter, as far as is known
        while True:
            now = self._now(wire)
            # If no number is known, the time is tried, or what no number is smaller than.
            nonce = next_nonce(last, now) if seen or last is not None else now * in_range(now)
            is_next = is_value(key, "LESS", _bytes(nonce)) if is_there else is_absent(key)
            try:
                answer = wire.txn([is_here(wire), is_next, *fences], [put(key, _bytes(nonce)), *along], otherwise)
            except BaseException:  # promise 7: it may be stored, or be stored later
                self._remember(key, nonce)
                raise
            if succeeded(answer):
                self._remember(key, nonce)
                return nonce, answer
            refuse_moved(wire, answer)
            for which, (gate, place) in enumerate(zip(gates, places, strict=True), 2):
                if [each.made for each in found(answer, which)] != [place.made]:
                    raise gate.lost("the servers have heard nothing of this process for too long")
            stored = _stored(found(answer, 1), nonce if is_there else 0)
            is_there, seen = stored is not None, True
            last = stored if last is None else max(last, stored or 0)

    def guess(self, wire: Wire, key: str) -> tuple[int, list[Json], list[Json]]:
        """Return what is probably the next nonce, what has to be true then, and what stores it.

        It may be stored by what is done with it, so it is never returned again. 0: it cannot be guessed.
        """
        last, now = self._last.get(key), self._now(wire)
        if not in_range(now) or (last or 0) >= NONCE_MAX:
            return 0, [], []
        nonce = next_nonce(last, now)
        self._remember(key, nonce)
        return nonce, [is_here(wire), is_value(key, "LESS", _bytes(nonce))], [put(key, _bytes(nonce))]

    def read(self, wire: Wire, key: str) -> int | None:
        """Return a counter's number; None: there is none."""
        return _stored(found(wire.read(fetch(key))), 0)

    def all(self, answer: Json, which: int = 0) -> dict[str, int]:
        """Return the numbers of the counters that were fetched, by name."""
        return {each.key.rpartition("/")[2]: _stored([each], 0) or 0 for each in found(answer, which)}

    def raise_to(self, wire: Wire, key: str, floor: int, *, even_moved: bool = False) -> None:
        """Raise a counter's number to *floor*, if it is smaller. Raises NonceStoreError, Lost or Refused.

        Args:
            wire: The connection.
            key: The counter's.
            floor: The number.
            even_moved: Whether to do so even if the state was moved away.
        """
        if_here = [] if even_moved else [is_here(wire)]
        is_there = True
        while True:
            is_lower = is_value(key, "LESS", _bytes(floor)) if is_there else is_absent(key)
            answer = wire.txn([*if_here, is_lower], [put(key, _bytes(floor))], _look(wire, key))
            if succeeded(answer):
                return
            if not even_moved:
                refuse_moved(wire, answer)
            stored = _stored(found(answer, 1), floor if is_there else 0)
            if stored is not None and stored >= floor:
                return
            is_there = stored is not None

    def _remember(self, key: str, nonce: int) -> None:
        self._last[key] = max(nonce, self._last.get(key, 0))  # another thread may put a smaller one there: no harm

    def _now(self, wire: Wire) -> int:
        now = self._clock.now_ns()
        if not self._is_capped:
            return now
        theirs = wire.server.clock.now_ns()
        return min(now, theirs + _AHEAD) if in_range(now) else theirs


def _look(wire: Wire, key: str) -> list[Json]:
    return [fetch(moved_key(wire.server)), fetch(key)]


def _bytes(number: int) -> bytes:
    return b"%019d" % number


def _stored(keys: list[Found], compared: int) -> int | None:
    """Return the number that is stored, which was not smaller than *compared*; None: there is none.

    Raises:
        NonceStoreError: It is smaller, so it was not written as all are.
    """
    if not keys:
        return None
    number = int(keys[0].value) if keys[0].value.isdigit() else -1
    if number < compared:
        raise NonceStoreError(f"the key {keys[0].key} was not written by this krakenonce; nothing was issued or sent")
    return number
