"""The network between a bot and the fake Kraken: its delays and its faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from krakenonce.testing.faults import FAULTS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.request import Request


_HOLD = 10.0  # seconds a request that is held back waits for another one

Reply = dict[str, Any] | int | None  # an answer, the status of an HTML page, or a cut connection


class Delivery:
    """Brings requests to the fake Kraken, and its answers back. Used by the event loop of one server alone.

    Args:
        fake: The fake Kraken.
        delay: Returns the seconds that the network takes for the next request and its answer together.
    """

    def __init__(self, fake: FakeKraken, delay: Callable[[], float]) -> None:
        self._fake = fake
        self._delay = delay
        self._held: list[asyncio.Event] = []
        self._in_flight: Counter[str] = Counter()

    async def bring(self, request: Request, is_gone: Callable[[], bool]) -> Reply:
        """Return what the sender of a request gets.

        Args:
            request: As it came in.
            is_gone: Returns whether the sender has closed the connection.
        """
        fault = self._fake.faults.take(request.method)
        half = self._delay() / 2
        owner = self._fake.owner_of(request.key)
        self._in_flight[owner] += 1
        try:
            if half:
                await asyncio.sleep(half)
            request.received = self._fake.time()
            reply = await self._reply(request, fault, is_gone)
            if half:
                await asyncio.sleep(half)
            return reply
        finally:
            self._in_flight[owner] -= 1

    async def _reply(self, request: Request, fault: Fault | None, is_gone: Callable[[], bool]) -> Reply:
        if fault is None:
            return self._execute(request, is_gone)
        course = FAULTS[fault.fault]
        if course.before == "waits":
            await asyncio.sleep(fault.seconds)
        elif course.before == "waits for the next request":
            await self._hold(fault.seconds or _HOLD)
        request.fault, request.hidden_for = fault.fault, fault.hidden_for
        copies = [replace(request, is_copy=n > 0) for n in range(course.executed)]
        answers = [self._execute(each, is_gone) for each in copies]
        if not course.executed:
            request.now, request.sender_gone = self._fake.time(), is_gone()
            self._fake.log_lost(request, fault.error if course.answer == "an error" else None)
        match course.answer:
            case "a cut connection":
                return None
            case "an HTML page":
                return fault.status
            case "an error":
                return {"error": [fault.error]}
            case "its answer, late":
                await asyncio.sleep(fault.seconds)
        return answers[0 if fault.answer == "first" else -1]

    def _execute(self, request: Request, is_gone: Callable[[], bool]) -> dict[str, Any]:
        """Return the answer of the fake; requests that are held back follow."""
        request.in_flight = self._in_flight[self._fake.owner_of(request.key)]
        request.now, request.sender_gone = self._fake.time(), is_gone()
        answer = self._fake.answer_to(request)
        while self._held:
            self._held.pop(0).set()
        return answer

    async def _hold(self, seconds: float) -> None:
        """Wait until another request has been executed, or for so many seconds."""
        passed = asyncio.Event()
        self._held.append(passed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(passed.wait(), seconds)
