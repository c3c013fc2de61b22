"""Whose turn it is, as a table of events and states. No I/O, no threads, no clock.

Which calls are urgent is in ``methods.py``. ``counting.py`` orders calls that wait for the rate limit in the same way.

The caller with the turn also has the gate, which excludes the other processes. To fetch the gate is to wait for it.

=======  =========================  ===========================  ==================================================
event    free                       fetching                     held
=======  =========================  ===========================  ==================================================
ask      waits; the gate is tried   waits                        the owner: held once more; all others: wait
fetch    fetching                   -                            -
came     the first: held            the first: held; none: free  -
failed   an error for the first     an error for the first;      -
                                    free
leave    refused                    refused                      the owner: held once less, at last free; all
                                                                 others: refused
give_up  waits no longer            waits no longer; if it       the holder: as leave; all others: wait no longer
                                    fetches: free
=======  =========================  ===========================  ==================================================

When the turn is free, the gate is released; if a caller waits, it is fetched again.

A caller may wait in several lanes at the same time, for the first turn that comes: it claims that one, and the other
lanes pass it over. Urgent callers go first, but what has waited longest has at least every tenth turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


Do = Literal[
    "try",  # take the gate if it is free
    "wake",  # the holder, or else the fetcher
    "fetch",  # release the gate; the first waiter can fetch it
    "release",  # release the gate
]


EVERY = 10  # so many turns, and one of them is not urgent, if such a call waits


class Claim:
    """Which of several turns a caller has got that waits for all of them: the first."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[str, Turn] = {}

    def is_for(self, turn: Turn) -> bool:
        """Whether no other turn has been claimed. Safe for threads that hold different locks."""
        return self._of.get("turn", turn) is turn

    def take(self, turn: Turn) -> bool:
        """Claim a turn; return whether it is the one that is claimed now."""
        return self._of.setdefault("turn", turn) is turn  # one step for all threads


class Waiter:
    """A call that waits for the turn, and later has it.

    Args:
        owner: The thread or task that asks.
        urgent: Whether it goes before calls that are not urgent.
        can_fetch: Whether it can fetch the gate itself, as a thread without a timeout can.
        scope: Returns the counter whose nonce it will want; None: not known.
        claim: What it shares with the waiters of the same call in other lanes; None: there are none.
    """

    __slots__ = ("can_fetch", "claim", "depth", "error", "outer", "owner", "scope", "urgent", "wake")

    def __init__(
        self,
        owner: object,
        urgent: bool = False,
        can_fetch: bool = False,
        scope: Callable[[], str] | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.owner = owner
        self.claim = claim
        self.scope = scope
        self.urgent = urgent
        self.can_fetch = can_fetch
        self.wake: Callable[[], object] | None = None  # None: it does not sleep, or has been woken
        self.outer: Waiter | None = None  # the waiter with which the owner has taken the turn before
        self.depth = 1  # how often the owner has taken the turn
        self.error: BaseException | None = None  # why it cannot have the turn

    def is_other(self, waiter: Waiter) -> bool:
        """Whether this is a waiter of another call."""
        return self is not waiter and (self.claim is None or self.claim is not waiter.claim)


class Turn:
    """Which waiter has the turn, which fetches the gate, and which wait: urgent ones first, in the order of asking.

    No signal can interrupt a change half-way. If a signal has prevented a step, :meth:`due` returns it again.
    """

    __slots__ = ("fetcher", "holder", "urgent_turns", "waiting")

    def __init__(self) -> None:
        self.holder: Waiter | None = None
        self.fetcher: Waiter | None = None
        self.waiting: list[Waiter] = []
        self.urgent_turns = 0  # in a row, while another call waited

    def due(self) -> Do | None:
        """Return what has to be done now."""
        served = self.holder or self.fetcher
        if served is not None:
            return "wake" if served.wake is not None else None
        first = self.first()
        if first is None:
            return "release"
        return "fetch" if first.can_fetch else "try"

    def first(self) -> Waiter | None:
        """Return the waiter that is next; None: nobody waits who has not got another turn."""
        if not self.waiting:
            return None
        first, enough = None, self.urgent_turns >= EVERY - 1
        for each in self.waiting:
            if each.claim is None or each.claim.is_for(self):
                if not (each.urgent and enough):
                    return each
                first = first or each
        return first

    def has(self, waiter: Waiter) -> bool:
        """Return whether *waiter* has the turn. Raises its error, if it cannot have it."""
        if waiter.error is not None:
            raise waiter.error
        return self.holder is waiter

    def all(self) -> list[Waiter]:
        """Return the holder and all that wait."""
        return [self.holder, *self.waiting] if self.holder else self.waiting.copy()

    def ask(self, waiter: Waiter) -> Do | None:
        """Take the turn once more, or wait for it; return what is to be done at once."""
        holder = self.holder
        if holder is not None and holder.owner == waiter.owner:
            waiter.outer, waiter.depth = holder, holder.depth + 1
            self.holder = waiter
            return None
        place = sum(each.urgent for each in self.waiting) if waiter.urgent else len(self.waiting)
        self.waiting.insert(place, waiter)
        return "try" if holder is None and self.fetcher is None else None

    def fetch(self, fetcher: Waiter) -> None:
        """*fetcher* fetches the gate from now on: the first waiter, or a helper for it."""
        self.fetcher = fetcher

    def came(self) -> None:
        """The gate has been taken: the first waiter has the turn."""
        self.fetcher = None
        while (first := self.first()) is not None:
            if first.claim is None or first.claim.take(self):
                waiting = [each for each in self.waiting if each is not first]
                more = first.urgent and any(not each.urgent for each in waiting)
                self.holder, self.waiting, self.urgent_turns = first, waiting, self.urgent_turns + 1 if more else 0
                return

    def failed(self, error: BaseException) -> Waiter | None:
        """The gate cannot be taken. Return the first waiter, if any; it waits no longer."""
        self.fetcher = None
        first = self.first()
        if first is not None:
            self.waiting = [each for each in self.waiting if each is not first]
            first.error = error
        return first

    def leave(self, owner: object) -> bool:
        """Return False if *owner* does not have the turn."""
        holder = self.holder
        if holder is None or holder.owner != owner:
            return False
        self.holder = holder.outer
        return True

    def give_up(self, waiter: Waiter) -> None:
        """*waiter* neither waits for the turn nor has it any longer. Does nothing if it never did."""
        if self.holder is waiter:
            self.holder = waiter.outer
        elif waiter in self.waiting:
            self.waiting.remove(waiter)
        if self.fetcher is waiter:
            self.fetcher = None
