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


class Waiter:
    """A call that waits for the turn, and later has it.

    Args:
        owner: The thread or task that asks.
        urgent: Whether it goes before calls that are not urgent.
        can_fetch: Whether it can fetch the gate itself, as a thread without a timeout can.
        scope: The counter whose nonce it will want; None: not known.
    """

    __slots__ = ("can_fetch", "depth", "error", "outer", "owner", "scope", "urgent", "wake")

    def __init__(self, owner: object, urgent: bool = False, can_fetch: bool = False, scope: str | None = None) -> None:
        self.owner = owner
        self.scope = scope
        self.urgent = urgent
        self.can_fetch = can_fetch
        self.wake: Callable[[], object] | None = None  # None: it does not sleep, or has been woken
        self.outer: Waiter | None = None  # the waiter with which the owner has taken the turn before
        self.depth = 1  # how often the owner has taken the turn
        self.error: BaseException | None = None  # why it cannot have the turn


class Turn:
    """Which waiter has the turn, which fetches the gate, and which wait: urgent ones first, in the order of asking.

    No signal can interrupt a change half-way. If a signal has prevented a step, :meth:`due` returns it again.
    """

    __slots__ = ("fetcher", "holder", "waiting")

    def __init__(self) -> None:
        self.holder: Waiter | None = None
        self.fetcher: Waiter | None = None
        self.waiting: list[Waiter] = []

    def due(self) -> Do | None:
        """Return what has to be done now."""
        served = self.holder or self.fetcher
        if served is not None:
            return "wake" if served.wake is not None else None
        if not self.waiting:
            return "release"
        return "fetch" if self.waiting[0].can_fetch else "try"

    def has(self, waiter: Waiter) -> bool:
        """Return whether *waiter* has the turn. Raises its error, if it cannot have it."""
        if waiter.error is not None:
            raise waiter.error
        return self.holder is waiter

    def before(self, waiter: Waiter) -> list[Waiter]:
        """Return the holder, and the waiters that get the turn before *waiter*."""
        before = self.waiting[: self.waiting.index(waiter)]
        return [self.holder, *before] if self.holder else before

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
        if self.waiting:
            self.holder, self.waiting = self.waiting[0], self.waiting[1:]

    def failed(self, error: BaseException) -> Waiter | None:
        """The gate cannot be taken. Return the first waiter, if any; it waits no longer."""
        self.fetcher = None
        if not self.waiting:
            return None
        first, self.waiting = self.waiting[0], self.waiting[1:]
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
