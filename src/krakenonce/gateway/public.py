"""Public calls through the gateway: passed on within the public rate limit, a few of them from a small cache."""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import TYPE_CHECKING

from krakenonce.errors import OutcomeUnknown, RateLimited, RequestNotSent
from krakenonce.gateway.activity import KRAKEN, MEMORY
from krakenonce.gateway.headers import passed_back, passed_on
from krakenonce.gateway.own_calls import OwnCalls
from krakenonce.gateway.public_limits import Place, PublicLimits, bucket_of
from krakenonce.gateway.refusals import PAGE, reason_of
from krakenonce.gateway.replies import Reply, not_sent, unknown
from krakenonce.gateway.upstream import refusal_of
from krakenonce.gateway.waiting import Closed, wait_while
from krakenonce.kraken.http_status import closed_for, refuse_if_closed
from krakenonce.kraken.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from krakenonce.gateway.activity import PublicActivity
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.request import Answer


_KEPT_FOR = {"AssetPairs": 300.0, "Assets": 300.0, "Time": 0.5}  # seconds
_CACHED = 64  # answers
_OWN = (
    "the gateway has called itself, because Kraken's host name leads here: give --connect-to Kraken's IP address, or "
    "correct --base-url or the hosts file"
)
_LOOKED_AT = 64  # bytes of an answer, to see whether it is an error


class PublicCalls:
    """The public calls of all clients of the gateway.

    Args:
        transport: Connections to Kraken.
        activity: Where calls are counted.
        timeout: Seconds to wait for each piece of the answer.
        max_wait: Seconds that a call may wait for the rate limit.
        clock: Returns seconds of any clock that only advances.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        activity: PublicActivity,
        timeout: float,
        max_wait: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self.time = transport.time
        self.own = OwnCalls()
        self._activity = activity
        self._timeout = timeout
        self._max_wait = max_wait
        self._clock = clock
        self._limits = PublicLimits(clock)
        self._asked: dict[str, _Asked] = {}  # by path
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Refuse the calls that wait, and those that come. Those that were sent are answered."""
        self._closed.set()

    async def answer(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one public call.

        Args:
            verb: GET or POST.
            path: The path with its query string, as received.
            headers: The client's headers; names in any case.
            body: The body of a POST.
        """
        reply, source = await self._answer(verb, path, headers, body)
        self._activity.reply(reply, source)
        return reply

    async def _answer(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[Reply, str]:
        """Return the answer, and where it comes from."""
        if self.own.is_own(headers):
            return not_sent("own_call", "EService:Unavailable", _OWN), KRAKEN
        kept_for = _KEPT_FOR.get(path.partition("?")[0].removeprefix("/0/public/"))
        if kept_for is None or verb != "GET":
            return await self._call(Request(verb, path, passed_on(headers), body or None)), KRAKEN
        source, asked = MEMORY, self._asked.pop(path, None)
        if asked is None or self._clock() >= asked.until:
            source, asked = KRAKEN, _Asked()
            asked.begin(self._call(Request(verb, path, passed_on({}), None), asked, kept_for))
        self._asked[path] = asked
        if len(self._asked) > _CACHED:
            del self._asked[next(iter(self._asked))]
        reply = await asked.answer()
        undated = {name: text for name, text in reply.headers.items() if name != "Date"}
        return reply._replace(headers=undated), source

    async def _call(self, request: Request, asked: _Asked | None = None, kept_for: float = 0.0) -> Reply:
        """Send a call once the rate limit allows it. Its answer is kept for *asked*, unless it is an error."""
        place = Place(bucket_of(request.path, request.body or b""))
        try:
            await self._wait(place)
            if asked is not None:
                asked.until = self._clock() + kept_for
            request.headers.update(self.own.header)
            got = await self._transport.fetch(request, self._timeout)
        except Closed as error:
            reply = not_sent("stopping", "EService:Unavailable", str(error))
        except RateLimited as error:
            # Not Kraken's words for public calls: python-kraken-sdk returns those as a result.
            reply = not_sent("public_rate_limit", "EAPI:Rate limit exceeded", str(error))
        except RequestNotSent as error:
            reply = not_sent("no_connection", "EService:Unavailable", str(error))
        except OutcomeUnknown as error:
            reply = unknown(error)
        else:
            self._settle(got, place)
            reply = Reply(got.status, got.content_type, got.data, passed_back(got.headers))
        if asked is not None and not _is_result(reply):
            asked.until = 0.0
        return reply

    def _settle(self, answer: Answer, place: Place) -> None:
        """Act on Kraken's refusal of a call: one above its rate limit makes the calls of the same bucket wait."""
        refusal = refusal_of(answer)
        is_limit = isinstance(refusal, RateLimited)
        if is_limit:
            self._limits.fill(place)
        if refusal is not None:
            self._activity.refused[reason_of(refusal)] += 1
        elif answer.status != 200:
            self._activity.refused[PAGE] += 1

    async def _wait(self, place: Place) -> None:
        """Wait until a call may be sent.

        Raises:
            Closed: The gateway stops.
            RateLimited: It would take too long.
        """
        try:
            await wait_while(partial(self._ask, place), self._max_wait, self._closed)
            if self._closed.is_set():
                raise Closed
        finally:
            self._limits.leave(place)

    async def _ask(self, place: Place, longest: float) -> float:
        """Return the seconds until a call may be sent. Raises RateLimited if they are more than *longest*."""
        closed = closed_for(self._transport.host)
        if closed > longest:
            refuse_if_closed(self._transport.host)
        wait = closed or self._limits.ask(place, longest)
        if wait > longest:
            raise RateLimited(
                f"Not sent: this public call would have to wait {wait:.0f} s, longer than --max-wait allows. Kraken "
                "takes one a second from an address; of OHLC and Trades, one for each pair. Call less often."
            )
        return wait


class _Asked:
    """A call whose answer is for all who ask for the same, meanwhile or soon.

    Attributes:
        until: Until when its answer is kept; infinite: it was not sent yet.
    """

    def __init__(self) -> None:
        self.until = math.inf
        self._callers = 0

    def begin(self, call: Coroutine[Any, Any, Reply]) -> None:
        """Make the call."""
        self._task = asyncio.create_task(call)

    async def answer(self) -> Reply:
        """Wait for the answer. If all who wait hang up before the call was sent, it is not sent."""
        self._callers += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._callers -= 1
            if not self._callers and math.isinf(self.until):
                self.until = 0.0
                self._task.cancel()


def _is_result(reply: Reply) -> bool:
    return reply.status == 200 and reply.body[:_LOOKED_AT].replace(b" ", b"").startswith(b'{"error":[]')
