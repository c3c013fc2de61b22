"""Brings one request to the fake Kraken and its answer back, with what is to go wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.faults import Fault

__all__ = ["Delivery", "Reply"]

_HOLD = 10.0  # seconds a request that is held back waits for another one

Reply = dict[str, Any] | int | None  # an answer, the status of an HTML page, or a cut connection


class Delivery:
    """Carries out faults for one running server. Used by its event loop alone.

    Args:
        fake: What answers.
    """

    def __init__(self, fake: FakeKraken) -> None:
        self._fake = fake
        self._held: list[asyncio.Event] = []
        self._in_flight: Counter[str] = Counter()

    @contextlib.contextmanager
    def in_flight(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Count a request as one in flight of its key, from its coming in until its answer goes out."""
        key = headers.get("API-Key", "")
        self._in_flight[key] += 1
        try:
            yield
        finally:
            self._in_flight[key] -= 1

    async def bring(
        self,
        fault: Fault | None,
        path_qs: str,
        headers: Mapping[str, str],
        body: bytes,
        is_gone: Callable[[], bool],
    ) -> Reply:
        """Return what becomes of one request.

        Args:
            fault: What goes wrong with it, ``None`` for nothing.
            path_qs: The URL path with its query string, as received.
            headers: As received.
            body: As received.
            is_gone: Tells whether the sender has closed the connection by now.
        """
        received = time.time()
        if fault is not None:
            await self._before(fault)
        replies = []
        for delivery in range(fault.deliveries if fault is not None else 1):
            reply = self._fake.answer(
                path_qs,
                headers,
                body,
                time.time(),
                received=received,
                sender_gone=is_gone(),
                is_copy=delivery > 0,
                hidden_for=fault.hidden_for if fault is not None else 0.0,
                in_flight=self._in_flight[headers.get("API-Key", "")],
            )
            replies.append(reply)
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
