"""One call of an account while it is made: which keys were tried, and how long it may still wait. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from krakenonce.key.methods import METHODS, Kind, Method, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.errors import KrakenAPIError
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.upstream import KrakenKey
    from krakenonce.key.counting import Place


class AnotherKey(Exception):
    """A call was not executed, for a reason that is its key's: another key of the account makes it."""


class Turn(NamedTuple):
    """A call in the turn of one of the account's keys.

    Args:
        key: The key.
        place: The call's place in the rate limit.
        pass_over: Gets Kraken's refusal of the call, or None. Raises AnotherKey if another key may make the call.
    """

    key: KrakenKey
    place: Place
    pass_over: Callable[[KrakenAPIError | None], None]


class Making:
    """One call that is being made, and what has been tried for it.

    Args:
        call: The call.
        longest: Seconds that it may wait for the rate limit, and again for its turns.
        asked_at: When it began to wait, in seconds since boot: an order that is cancelled after that is not sent.
    """

    def __init__(self, call: ClientCall, longest: float, asked_at: float) -> None:
        self.call = call
        self.asked_at = asked_at
        self.method = "AddExport" if self.is_of_export else call.method  # whose permission it needs
        self.for_limit = self.for_turn = longest
        self.tried: dict[int, KrakenAPIError] = {}  # the places of the keys that were passed over, and why
        self.only: int | None = None  # the place of the key that makes it; None: the first whose turn comes
        self.key = 0  # the place of the key that makes it now
        self.place: Place | None = None
        self.has_waited = False

    @property
    def its(self) -> Method:
        """What is known of its method."""
        return METHODS[self.call.method]

    @property
    def is_order(self) -> bool:
        """Whether it places orders."""
        return kind_of(self.call.method, self.call.params) is Kind.ORDER

    @property
    def waits_for_key(self) -> bool:
        """Whether it waits for its key's REST counter: the trading engine's counters are the account's."""
        return not (self.its.engine or self.its.by_age)

    @property
    def is_of_export(self) -> bool:
        """Whether it belongs to an export, whose calls are all made with one key: the first that may order it."""
        return "Export" in self.call.method
