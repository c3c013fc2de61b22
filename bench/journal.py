"""What the journal costs a call that goes well: nothing is written, and a few variables are kept for an error."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.calls import SECRET, plain_server
from krakenonce import NonceManager
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS, Tier
from krakenonce.kraken import Kraken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROUNDS = 4000
_WIDE = "bench"


def cost_of_a_good_call(directory: Path, rounds: int = _ROUNDS) -> dict[str, float]:
    """Microseconds of a call with the journal and without what is kept for it, by turns."""
    TIERS[_WIDE] = Tier(_WIDE, 1e5, 1e4, 1e5, 1e4)
    with (
        plain_server() as url,
        NonceManager(directory / "journal") as manager,
        Kraken("key", SECRET, manager=manager, tier=_WIDE, base_url=url) as kraken,
    ):
        took: tuple[list[int], list[int]] = [], []
        for _ in range(rounds):
            took[0].append(_nanoseconds(kraken))
            with _disabled():
                took[1].append(_nanoseconds(kraken))
    with_it, without = (statistics.median(times) / 1000 for times in took)
    return {"with_us": with_it, "without_us": without, "more_percent": 100 * (with_it / without - 1)}


def _nanoseconds(kraken: Kraken) -> int:
    began = time.perf_counter_ns()
    kraken.private("Balance")
    return time.perf_counter_ns() - began


@contextlib.contextmanager
def _disabled() -> Iterator[None]:
    """Let an API key keep nothing for the journal, and do nothing else than before there was one."""

    def plain_next(self: Any) -> int:
        manager, scope = self._manager, self._scope
        nonce: int = manager.next_for(self.key) if scope is None else manager.next(scope)
        return nonce

    kept = {name: ApiKey.__dict__[name] for name in ("next", "ask", "count")}
    ApiKey.next = plain_next  # type: ignore[method-assign] # for as long as one call takes
    ApiKey.ask = lambda self, place, longest, *, send=False: self._ask(place, longest, send=send)  # type: ignore[method-assign] # the same
    ApiKey.count = ApiKey._count  # type: ignore[method-assign] # the same
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(ApiKey, name, function)
