"""The network between a bot and the fake Kraken: how long a request is on its way, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.faults import Fault
    from krakenonce.testing.request import Request

__all__ = ["Delivery", "Reply"]

_HOLD = 10.0  # seconds a request that is held back waits for another one

Reply = dict[str, Any] | int | None  # an answer, the status of an HTML page, or a cut connection


class Delivery:
    """Brings requests to the fake Kraken, and its answers back. Used by the event loop of one server alone.

    Args:
        fake: What answers.
        delay: Returns the seconds that the next request takes, half of them on its way here.
    """

    def __init__(self, fake: FakeKraken, delay: Callable[[], float]) -> None:
        self._fake = fake
        self._delay = delay
        self._held: list[asyncio.Event] = []
        self._in_flight: Counter[str] = Counter()

    async def bring(self, request: Request, is_gone: Callable[[], bool]) -> Reply:
        """Return what becomes of one request.

        Args:
            request: As it came in.
            is_gone: Returns whether the sender has closed the connection by now.
        """
        fault = self._fake.faults.take(request.method)
        half = self._delay() / 2
        self._in_flight[request.key] += 1
        try:
            if half > 0:
                await asyncio.sleep(half)
            reply = await self._reply(replace(request, received=time.time()), fault, is_gone)
            if half > 0:
                await asyncio.sleep(half)
        finally:
            self._in_flight[request.key] -= 1
        return reply

    async def _reply(self, request: Request, fault: Fault | None, is_gone: Callable[[], bool]) -> Reply:
        if fault is not None:
            await self._before(fault)
        replies = []
        for delivery in range(fault.deliveries if fault is not None else 1):
            now = replace(
                request,
                now=time.time(),
                sender_gone=is_gone(),
                is_copy=delivery > 0,
                hidden_for=fault.hidden_for if fault is not None else 0.0,
                in_flight=self._in_flight[request.key],
            )
            replies.append(self._fake.answer_to(now))
        if replies:
            self._release()
        if fault is None:
            return replies[0]
        if fault.fault == "slow_answer":
            await asyncio.sleep(fault.seconds)
        return _reply(fault, replies)

    async def _before(self, fault: Fault) -> None:
        if fault.fault == "slow_request":
            await asyncio.sleep(fault.seconds)
        elif fault.fault == "hold_back":
            passed = asyncio.Event()
            self._held.append(passed)
            try:
                await asyncio.wait_for(passed.wait(), fault.seconds or _HOLD)
            except TimeoutError:
                self._held.remove(passed)

    def _release(self) -> None:
        held, self._held = self._held, []
        for passed in held:
            passed.set()


def _reply(fault: Fault, replies: list[dict[str, Any]]) -> Reply:
    match fault.fault:
        case "drop" | "process_then_cut":
            return None
        case "html" | "process_then_html":
            return fault.status
        case "error" | "process_then_error":
            return {"error": [fault.error]}
    return replies[0 if fault.answer == "first" else -1]
