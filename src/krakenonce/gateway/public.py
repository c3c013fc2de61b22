"""Public calls through the gateway: passed on within the public rate limit, a few of them from a small cache."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from krakenonce.errors import OutcomeUnknown, RequestNotSent
from krakenonce.gateway.replies import Reply, refusal, unknown
from krakenonce.kraken.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.async_transport import AsyncTransport

__all__ = ["PublicCalls"]

_KEPT_FOR = {"AssetPairs": 300.0, "Assets": 300.0, "Time": 0.5}  # seconds
_CACHED = 64  # answers
_BURST = 20.0  # calls; after that one a second, which Kraken's support page says is always fine
_AGENT = {"User-Agent": "krakenonce-gateway"}


class PublicCalls:
    """What all clients of the gateway ask of Kraken's public methods.

    Args:
        transport: Connections to Kraken.
        timeout: Seconds to wait for each piece of the answer.
        clock: Seconds on any clock that goes on.
    """

    def __init__(self, transport: AsyncTransport, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._timeout = timeout
        self._clock = clock
        self._answers: dict[str, tuple[float, asyncio.Task[Reply]]] = {}
        self._level, self._at = 0.0, clock()

    async def answer(self, verb: str, path: str, body: bytes, content_type: str) -> Reply:
        """Answer one public call.

        Args:
            verb: GET or POST.
            path: The path with its query string, as received.
            body: The body of a POST.
            content_type: Its header.
        """
        method = path.partition("?")[0].removeprefix("/0/public/")
        kept = _KEPT_FOR.get(method)
        if kept is None or verb != "GET":
            return await self._fetch(verb, path, body, content_type)
        until, task = self._answers.get(path, (0.0, None))
        if task is None or self._clock() >= until:
            task = asyncio.create_task(self._fetch(verb, path, b"", ""))
            self._answers.pop(path, None)
            self._answers[path] = (self._clock() + kept, task)
            if len(self._answers) > _CACHED:
                del self._answers[next(iter(self._answers))]
        reply = await asyncio.shield(task)
        if reply.reason or reply.status != 200 or b'"error":[]' not in reply.body.replace(b" ", b"")[:_CACHED]:
            self._answers.pop(path, None)  # no error is kept
        return reply

    async def _fetch(self, verb: str, path: str, body: bytes, content_type: str) -> Reply:
        now = self._clock()
        self._level, self._at = max(0.0, self._level - (now - self._at)), now
        if self._level + 1 > _BURST:
            return refusal("public limit", "EGeneral:Too many requests", "too many public calls; one a second is fine")
        self._level += 1
        headers = {**_AGENT, "Content-Type": content_type} if content_type else _AGENT
        try:
            got = await self._transport.fetch(Request(verb, path, headers, body or None), self._timeout)
        except RequestNotSent as error:
            return refusal("unreachable", "EService:Unavailable", str(error))
        except OutcomeUnknown as error:
            return unknown(str(error), {})
        return Reply(got.status, got.content_type, got.data, {})
