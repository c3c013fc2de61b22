"""The bots: each sends its orders through the proxy, and again after a failure."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from krakenonce.kraken.wire import FORM, decode_secret, sign
from prove.lost_replies.exchange import BROKEN_OFF, Message, post
from prove.lost_replies.jobs import End
from prove.lost_replies.proxy import ORDER

if TYPE_CHECKING:
    from prove.lost_replies.jobs import Job, Jobs

__all__ = ["Bots", "end_in"]

_AT_ONCE = 80  # requests
_BUSY = 250  # bots; the others begin when one of them has ended
_PAUSES = (0.3, 0.7, 1.5, 3.0, 5.0, 8.0, 10.0, 15.0, 15.0)  # seconds before it sends again
_LONGEST = 60.0  # seconds from the first time that it sends an order to the last
_LAST_PAUSES = (0.5, 1.0, 2.0)  # seconds before it sends what is still unknown in the end
_PATH = "/0/private/AddOrder"
_UNKNOWN = End("unknown")


class Bots:
    """All bots at once.

    Args:
        jobs: What they want.
        patience: Seconds after which a bot sends an order no more.
    """

    def __init__(self, jobs: Jobs, patience: float) -> None:
        self._jobs = jobs
        self._port = 0
        self._patience = patience
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._busy = asyncio.Semaphore(_BUSY)
        self._nonces = itertools.count(1)
        self.count: Counter[str] = Counter()

    async def work(self, port: int) -> None:
        """Do all jobs, through the proxy at this port."""
        self._port = port
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._work(job))

    async def ask_again(self, ports: list[int]) -> None:
        """Send what is less than a minute old and still unknown a few times more, now to the gateways themselves."""
        since = time.monotonic() - _LONGEST
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                for i, (request, at) in enumerate(job.sent):
                    if job.ends[i] == _UNKNOWN and at > since:
                        group.create_task(self._ask_again(job, i, request, job.chance.choice(ports)))

    async def _work(self, job: Job) -> None:
        async with self._busy:
            for _ in range(job.times):
                job.ends.append(await self._placed(job))
                job.note(f"bot: knows {job.ends[-1]}")

    async def _ask_again(self, job: Job, i: int, request: Message, port: int) -> None:
        for pause in _LAST_PAUSES:
            await asyncio.sleep(pause)
            end = await self._told(job, request, port)
            if end is not None:
                job.ends[i] = end
                job.note(f"bot: knows {end} in the end")
                return

    async def _placed(self, job: Job) -> End:
        """Send an order until it is known what became of it, or for as long as the bot's patience lasts."""
        request, pauses, began = None, iter(_PAUSES), time.monotonic()
        while True:
            async with self._turns:
                if request is None or job.signs_anew:
                    request = self._signed(job)
                end = await self._told(job, request, self._port)
            pause = next(pauses, _LONGEST)
            if end is not None or time.monotonic() + pause > began + self._patience:
                job.sent.append((request, began))
                return end or _UNKNOWN
            await asyncio.sleep(pause)
            self.count["repeats by bots"] += 1

    async def _told(self, job: Job, request: Message, port: int) -> End | None:
        """Send an order once and return what the bot is told of it."""
        job.note(f"bot: sends {request.body.decode()}")
        try:
            async with asyncio.timeout(_LONGEST):
                got = await post(port, request)
        except BROKEN_OFF as error:
            job.note(f"bot: gets no answer ({type(error).__name__})")
            return None
        job.note(f"bot: gets {got.status}")
        return end_in(got)

    def _signed(self, job: Job) -> Message:
        """Return a new request for an order, with the parameters in any sequence."""
        nonce, fields = next(self._nonces), list(job.fields.items())
        if job.signs_anew:
            job.chance.shuffle(fields)
        if job.deadline_in is not None:
            until = datetime.now(UTC) + timedelta(seconds=job.deadline_in)
            fields.append(("deadline", until.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
        body = urlencode([("nonce", nonce), *fields]).encode()
        headers = {
            "host": "gateway",
            "api-key": job.local.key,
            "api-sign": sign(_PATH, nonce, body, decode_secret(job.local.secret)),
            "content-type": FORM,
            "content-length": str(len(body)),
            ORDER: str(job.number),
        }
        return Message(f"POST {_PATH} HTTP/1.1", headers, body)


def end_in(answer: Message) -> End | None:
    """Return what an answer says of an order; None: nothing. Bots take every error in Kraken's form for a refusal."""
    try:
        said = json.loads(answer.body)
        if said["error"]:
            return End("refused", words=f"{said['error']} {answer.headers.get('x-krakenonce-explanation', '')}")
        return End("placed", tuple(said["result"]["txid"]))
    except (ValueError, KeyError, TypeError):
        return None
