"""How calls wait within the gateway: for the rate limit; and for a turn, where each comes to its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from krakenonce.errors import LaneTimeout
from krakenonce.key.any_lane import AnyLane
from krakenonce.key.api_key import ASK_AGAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

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
        account: The account.
        waited: Seconds that the call waited for the turn.
        held: Seconds that it held the turn.
    """

    account: str
    waited: float
    held: float


class KeyQueue:
    """The calls of one account, one at a time for each of its keys, in the keys' lanes: the urgent first.

    Args:
        account: The account.
        lanes: For each key what returns its lane, as ``manager.lane`` does; called with ``timeout`` and ``urgent``.
        length: How many calls may wait.
        max_wait: Seconds that each may wait.
        on_turn: Called after each turn.
    """

    def __init__(
        self,
        account: str,
        lanes: Sequence[Callable[..., Lane]],
        length: int,
        max_wait: float,
        on_turn: Callable[[TurnDetails], None],
    ) -> None:
        self._account = account
        self._lanes = lanes
        self._length = length
        self._max_wait = max_wait
        self._on_turn = on_turn
        self._waiting: dict[asyncio.Task[Any], bool] = {}  # the calls that wait, and whether they are urgent
        self._begun: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def urgent(self) -> int:
        """How many of the calls that wait are urgent."""
        return sum(self._waiting.values())

    @property
    def busy(self) -> int:
        """How many calls have a turn."""
        return len(self._begun)

    @property
    def turn(self) -> str:
        """Who has the turn, in words. Another process is seen only while a call waits for it here."""
        if len(self._lanes) > 1 and (self.busy or len(self)):
            return f"{self.busy} of {len(self._lanes)} by calls of this gateway"
        if self.busy:
            return "a call of this gateway"
        return self._lanes[0]().holder() if len(self) else "free"

    async def run(
        self,
        job: Callable[[int], Awaitable[R]],
        keys: Sequence[int] = (0,),
        *,
        urgent: bool,
        left: float | None = None,
    ) -> R:
        """Make the call *job* in the first turn that comes, and return its result.

        A call that is cancelled while it waits leaves the queue; one that has begun continues to its end.

        Args:
            job: Gets the place of the key whose turn it is.
            keys: The places of the keys with which the call may be made, at least one.
            urgent: Whether it goes before calls that are not urgent.
            left: Of a call that has been in the queue before: seconds that it may still wait. It may always wait.

        Raises:
            Full: Too many calls wait already; this one was not sent.
            TooLong: No turn came in time; the call was not sent.
            Closed: The gateway was stopped meanwhile; the call was not sent.
        """
        if left is None and len(self) >= self._length:
            raise Full("too many calls wait for this Kraken key; the call was not sent")
        lanes = [self._lanes[key] for key in keys]
        timeout = self._max_wait if left is None else max(0.0, left)
        call = asyncio.create_task(self._call(lambda place: job(keys[place]), lanes, timeout, urgent))
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
        """Refuse the calls that wait, and let those that have a turn come to their end."""
        for call in self._waiting:
            call.cancel()
        if self._begun:
            await asyncio.wait(self._begun.copy())

    async def _call(
        self, job: Callable[[int], Awaitable[R]], lanes: Sequence[Callable[..., Lane]], timeout: float, urgent: bool
    ) -> R:
        """Take a turn, and hold it until the call is over, even if its client disconnects."""
        asked = time.monotonic()
        me: Any = asyncio.current_task()
        try:
            turns = AnyLane([lane(timeout=timeout, urgent=urgent) for lane in lanes], timeout)
            async with turns:
                del self._waiting[me]
                begun = time.monotonic()
                self._begun.add(me)
                try:
                    return await job(turns.index)
                finally:
                    self._begun.discard(me)
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
