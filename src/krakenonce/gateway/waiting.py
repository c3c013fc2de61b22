"""How calls wait within the gateway: for the rate limit; and for the turn of a key, where each comes to its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from krakenonce.errors import LaneTimeout
from krakenonce.key.api_key import ASK_AGAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.key.lane import Lane


R = TypeVar("R")


class NotBegun(Exception):
    """A call that has not had its turn; it was not sent."""


class Closed(NotBegun):
    """The gateway is stopping."""

    def __init__(self) -> None:
        super().__init__("the gateway is stopping; the call was not sent")


class Full(NotBegun):
    """As many calls as are allowed wait already."""


class TooLong(NotBegun):
    """The turn did not come in time."""


async def wait_while(ask: Callable[[float], Awaitable[float]], longest: float, closed: asyncio.Event) -> None:
    """Wait until the rate limit allows a call, or until the gateway stops.

    Args:
        ask: Gets how many seconds the call may still wait, and returns how many it has to; 0.0: none. Asked again after
            each wait.
        longest: Seconds that the call may wait.
        closed: Set when the gateway stops.
    """
    while (wait := await ask(longest)) > 0 and not closed.is_set():
        pause = min(wait, ASK_AGAIN)
        longest -= pause
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await closed.wait()


class TurnDetails(NamedTuple):
    """One turn that is over, as ``on_turn`` gets it.

    Args:
        account: The account of the Kraken key.
        waited: Seconds that the call waited for the turn.
        held: Seconds that it held the turn.
    """

    account: str
    waited: float
    held: float


class KeyQueue:
    """The calls of one Kraken key, one at a time, in the key's lane: the urgent first.

    Args:
        account: The account of the Kraken key.
        lane: Returns the key's lane, as ``manager.lane`` does; called with ``timeout`` and ``urgent``.
        length: How many calls may wait.
        max_wait: Seconds that each may wait.
        on_turn: Called after each turn.
    """

    def __init__(
        self,
        account: str,
        lane: Callable[..., Lane],
        length: int,
        max_wait: float,
        on_turn: Callable[[TurnDetails], None],
    ) -> None:
        self._account = account
        self._lane = lane
        self._length = length
        self._max_wait = max_wait
        self._on_turn = on_turn
        self._waiting: dict[asyncio.Task[Any], bool] = {}  # the calls that wait, and whether they are urgent
        self._begun: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def urgent(self) -> int:
        """How many of the calls that wait are urgent."""
        return sum(self._waiting.values())

    @property
    def busy(self) -> bool:
        """Whether a call has the turn."""
        return self._begun is not None

    @property
    def turn(self) -> str:
        """Who has the turn, in words. Another process is seen only while a call waits for it here."""
        if self.busy:
            return "a call of this gateway"
        return self._lane().holder() if len(self) else "free"

    async def run(self, job: Callable[[], Awaitable[R]], *, urgent: bool) -> R:
        """Make the call *job* in its turn and return its result.

        A call that is cancelled while it waits leaves the queue; one that has begun continues to its end.

        Raises:
            Full: Too many calls wait already; this one was not sent.
            TooLong: The turn did not come in time; the call was not sent.
            Closed: The gateway was stopped meanwhile; the call was not sent.
        """
        if len(self) >= self._length:
            raise Full("too many calls wait for this Kraken key; the call was not sent")
        call = asyncio.create_task(self._call(job, urgent))
        self._waiting[call] = urgent
        ended = asyncio.get_running_loop().create_future()
        call.add_done_callback(partial(_end, ended))
        try:
            await ended
        finally:
            if self._waiting.pop(call, None) is not None:
                call.cancel()
        if call.cancelled():
            raise Closed
        return call.result()

    async def close(self) -> None:
        """Refuse the calls that wait, and let the one that has the turn come to its end."""
        for call in self._waiting:
            call.cancel()
        if self._begun is not None:
            await asyncio.wait([self._begun])

    async def _call(self, job: Callable[[], Awaitable[R]], urgent: bool) -> R:
        """Take the turn, and hold it until the call is over, even if its client disconnects."""
        asked = time.monotonic()
        me: Any = asyncio.current_task()
        try:
            async with self._lane(timeout=self._max_wait, urgent=urgent):
                del self._waiting[me]
                begun, self._begun = time.monotonic(), me
                try:
                    return await job()
                finally:
                    self._begun = None
                    self._on_turn(TurnDetails(self._account, begun - asked, time.monotonic() - begun))
        except LaneTimeout:
            if me not in self._waiting:
                raise  # the job's
            raise TooLong("the turn did not come in time; the call was not sent") from None


def _end(ended: asyncio.Future[None], call: asyncio.Task[Any]) -> None:
    if not ended.done():
        ended.set_result(None)
    if not call.cancelled():
        call.exception()  # it counts as seen: asyncio would log it if the client has disconnected
