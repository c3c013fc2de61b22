"""Public calls through the gateway: passed on within the public rate limit, a few of them from a small cache."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from krakenonce.errors import OutcomeUnknown, RateLimited, RequestNotSent
from krakenonce.gateway.headers import passed_back, passed_on
from krakenonce.gateway.replies import Reply, not_sent, unknown
from krakenonce.kraken.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.kraken.async_transport import AsyncTransport


_KEPT_FOR = {"AssetPairs": 300.0, "Assets": 300.0, "Time": 0.5}  # seconds
_CACHED = 64  # answers
_LOOKED_AT = 64  # bytes of an answer, to see whether it is an error
_BURST = 20.0  # calls; after that one a second, which Kraken's support page says is always fine


class PublicCalls:
    """The public calls of all clients of the gateway.

    Args:
        transport: Connections to Kraken.
        timeout: Seconds to wait for each piece of the answer.
        clock: Returns seconds of any clock that only advances.
    """

    def __init__(self, transport: AsyncTransport, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self.time = transport.time
        self._timeout = timeout
        self._clock = clock
        self._answers: dict[str, tuple[float, asyncio.Task[Reply]]] = {}  # until when they are kept, by path
        self._level, self._at = 0.0, clock()

    async def answer(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one public call.

        Args:
            verb: GET or POST.
            path: The path with its query string, as received.
            headers: The client's headers; names in any case.
            body: The body of a POST.
        """
        kept = _KEPT_FOR.get(path.partition("?")[0].removeprefix("/0/public/"))
        if kept is None or verb != "GET":
            return await self._fetch(Request(verb, path, passed_on(headers), body or None))
        until, task = self._answers.pop(path, (0.0, None))
        if task is None or self._clock() >= until:
            task = asyncio.create_task(self._fetch(Request(verb, path, passed_on({}), None)))
            until = self._clock() + kept
        self._answers[path] = (until, task)
        if len(self._answers) > _CACHED:
            del self._answers[next(iter(self._answers))]
        reply = await asyncio.shield(task)
        reply = reply._replace(headers={name: text for name, text in reply.headers.items() if name != "Date"})
        if reply.status != 200 or not reply.body[:_LOOKED_AT].replace(b" ", b"").startswith(b'{"error":[]'):
            self._answers.pop(path, None)  # no error is kept
        return reply

    async def _fetch(self, request: Request) -> Reply:
        now = self._clock()
        self._level, self._at = max(0.0, self._level - (now - self._at)), now
        if self._level + 1 > _BURST:
            explanation = "too many public calls; wait: one call a second is allowed"
            return not_sent("public_rate_limit", "EGeneral:Too many requests", explanation)
        self._level += 1
        try:
            got = await self._transport.fetch(request, self._timeout)
        except RateLimited as error:
            return not_sent("public_rate_limit", "EGeneral:Too many requests", str(error))
        except RequestNotSent as error:
            return not_sent("no_connection", "EService:Unavailable", str(error))
        except OutcomeUnknown as error:
            return unknown(error)
        return Reply(got.status, got.content_type, got.data, passed_back(got.headers))
