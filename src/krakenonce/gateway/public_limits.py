"""When a public call may be sent: in buckets as Kraken counts, in the order in which the calls came. No I/O.

Kraken's support page 206548367: calls of OHLC and Trades are limited by IP address and pair, all other public calls by
IP address. One call a second remains within the limits. How many may come at once it does not say.

So each pair has a bucket, which the calls of OHLC and Trades of this pair share, and all other calls have one. Pairs
are compared by their names without "/" and case. Aliases (XXBTZUSD and XBTUSD) count as different pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from krakenonce.key.limits import pair_hash

if TYPE_CHECKING:
    from collections.abc import Callable


BURST = 20.0  # calls of one bucket at once; after that one a second
BUCKETS = 2_000  # more than Kraken has pairs
ALL_OTHERS = -1  # the bucket of the calls that Kraken does not count by pair
_BY_PAIR = ("OHLC", "Trades")


def bucket_of(path: str, body: bytes = b"") -> int:
    """Return a call's bucket. It is a pair's only if the call names this pair and no other.

    Args:
        path: The path with its query string.
        body: The body. Only a form is read.
    """
    method, _, query = path.removeprefix("/0/public/").partition("?")
    fields = parse_qsl(f"{query}&{body.decode('utf-8', 'replace')}") if method in _BY_PAIR else ()
    pairs = {pair_hash(value) for name, value in fields if name == "pair"}
    return pairs.pop() if len(pairs) == 1 else ALL_OTHERS


@dataclass(slots=True, eq=False)
class Place:
    """One call's place, kept from its first request until it is sent or stops waiting.

    Args:
        bucket: What :func:`bucket_of` has returned.
    """

    bucket: int


@dataclass(slots=True)
class _Bucket:
    at: float  # when the level was this
    level: float = 0.0  # calls that were sent, less one for each second
    waiting: dict[Place, None] = field(default_factory=dict)  # in the order in which they came


class PublicLimits:
    """The buckets of one address.

    While there are calls of ``BUCKETS`` pairs, those of further pairs share the bucket of all other calls.

    Args:
        clock: Returns seconds of any clock that only advances.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets = {ALL_OTHERS: _Bucket(clock())}

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)

    def ask(self, place: Place, longest: float) -> float:
        """Return the seconds until a call may be sent, and keep its place until then; 0.0: now, and it is counted.

        A call that has to wait must ask again.

        Args:
            place: The call's place.
            longest: Seconds that it may wait. If it would have to wait longer, no place is kept.
        """
        bucket = self._bucket(place)
        ahead = list(bucket.waiting).index(place) if place in bucket.waiting else len(bucket.waiting)
        wait = max(0.0, bucket.level + ahead + 1 - BURST)
        if 0 < wait <= longest:
            bucket.waiting[place] = None
            return wait
        self.leave(place)
        if wait == 0:
            bucket.level += 1
        return wait

    def fill(self, place: Place) -> None:
        """Fill a call's bucket, because Kraken has refused the call: from now on one a second, as after a burst."""
        self._bucket(place).level = BURST

    def leave(self, place: Place) -> None:
        """Release a place; the calls behind it move up. Does nothing if the call does not wait."""
        if place.bucket in self._buckets:
            self._buckets[place.bucket].waiting.pop(place, None)

    def _bucket(self, place: Place) -> _Bucket:
        now = self._clock()
        if place.bucket not in self._buckets and len(self) >= BUCKETS:
            self._forget(now)
            if len(self) >= BUCKETS:
                place.bucket = ALL_OTHERS
        bucket = self._buckets.setdefault(place.bucket, _Bucket(now))
        bucket.level, bucket.at = max(0.0, bucket.level - (now - bucket.at)), now
        return bucket

    def _forget(self, now: float) -> None:
        """Forget the pairs whose bucket is as a new one would be."""
        for name, bucket in list(self._buckets.items()):
            if name != ALL_OTHERS and bucket.level <= now - bucket.at:
                del self._buckets[name]
