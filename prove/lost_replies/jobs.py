"""What the bots want: orders that can be told apart, what goes wrong with each, and how each ends."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount

__all__ = ["End", "Event", "Job", "Jobs"]

_SMALLEST = Decimal("0.01")  # of bitcoin
_STEP = Decimal("0.00000001")  # the volumes of two jobs differ by this
_NAMES = ("nothing", "userref", "cl_ord_id")
_PAIRS = ("XBTUSD", "XXBTZUSD", "XBT/USD")


class Event(NamedTuple):
    """Something that happened, for the story of an order: when, by the steady clock, and what."""

    at: float
    what: str

    @classmethod
    def now(cls, what: str) -> Event:
        """Return what happens now."""
        return cls(time.monotonic(), what)


class End(NamedTuple):
    """What a bot knows of an order when it sends it no more.

    Args:
        what: Whether it was told that the order is placed, or that it is not, or neither.
        txids: Kraken's ids that it was told.
        words: The errors that it was told.
    """

    what: Literal["placed", "refused", "unknown"]
    txids: tuple[str, ...] = ()
    words: str = ""


@dataclass(eq=False)
class Job:
    """One order of a bot, or some equal ones, which it sends one after the other.

    Args:
        number: Which one it is: its orders have a volume that no other job's have.
        local: The local key of the bot.
        account: The account with whose Kraken key it is placed.
        chance: All that is drawn for it, from the seed.
        times: How many equal orders it is.
    """

    number: int
    local: LocalKey
    account: FakeAccount
    chance: random.Random
    times: int = field(init=False)
    sent: list[tuple[Any, float]] = field(default_factory=list)  # each order's last request, and when it was first sent
    ends: list[End] = field(default_factory=list)  # what the bot knows of each
    story: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = self.chance
        self.named = draw.choice(_NAMES)
        self.times = 1 if self.named == "cl_ord_id" or draw.random() < 0.7 else draw.randint(2, 3)
        self.deadline_in = draw.choice((None, None, None, None, 2.5, 8.0))  # seconds
        self.signs_anew = self.named == "cl_ord_id" and draw.random() < 0.5
        self.volume = _SMALLEST + self.number * _STEP
        kind = draw.choice(({"ordertype": "market"}, {"ordertype": "limit", "price": str(draw.randint(100, 999))}))
        self.fields = {"pair": draw.choice(_PAIRS), "type": "buy", "volume": str(self.volume), **kind}
        if self.named == "userref":
            self.fields["userref"] = str(draw.randint(1, 5))
        elif self.named == "cl_ord_id":
            self.fields["cl_ord_id"] = f"bot-{self.number}"

    def note(self, what: str) -> None:
        """Add to its story."""
        self.story.append(Event.now(what))


class Jobs:
    """All jobs, by number.

    Args:
        count: How many orders they are together, at least.
        owners: The local keys, each with its account.
        seed: Of all choices.
    """

    def __init__(self, count: int, owners: list[tuple[LocalKey, FakeAccount]], seed: int) -> None:
        self._by_volume: dict[Decimal, Job] = {}
        self.orders = 0
        while self.orders < count:
            number = len(self._by_volume)
            chance = random.Random(f"{seed} {number}")
            job = Job(number, *chance.choice(owners), chance)
            self._by_volume[job.volume] = job
            self.orders += job.times

    def __iter__(self) -> Iterator[Job]:
        return iter(self._by_volume.values())

    def of(self, volume: Any) -> Job:
        """Return the job whose orders have this volume."""
        return self._by_volume[Decimal(volume)]
