"""Whether calls wait for the state, for the log and for systemd. Runs in the second event loop, which never waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from concurrent.futures import Future

logger = logging.getLogger("krakenonce")

_LATE = 1.0  # seconds after which the log says that calls wait
_LONGEST = 300.0  # seconds that calls may wait for the disk; after that systemd is not notified any more


async def watch(calls: asyncio.AbstractEventLoop) -> None:
    """Ask the event loop of the calls again and again whether it runs, until cancelled.

    Log when it does not run, and notify systemd, twice as often as it wants, that it runs or waits for the disk.
    """
    pause = min(_systemd_wants() / 2, _LATE)
    while True:
        answer = asyncio.wrap_future(sign_of_life(calls))
        began = time.monotonic()
        silent, told = 0.0, False
        while not answer.done():
            if silent < _LONGEST:
                notify("WATCHDOG=1")
            if silent >= _LATE and not told:
                told = True
                logger.warning("the state has not answered for %.1f s; all calls wait for it", silent)
            await asyncio.wait([answer], timeout=pause)
            silent = time.monotonic() - began
        if told:
            logger.warning("the state answers again, after %.1f s; the calls go on", silent)
        await asyncio.sleep(max(0.0, pause - silent))


def sign_of_life(loop: asyncio.AbstractEventLoop) -> Future[None]:
    """Return what is done as soon as an event loop of another thread runs. It may never be, if the loop has ended."""
    seen: Future[None] = Future()
    seen.set_running_or_notify_cancel()  # who does not wait any more has not cancelled it
    loop.call_soon_threadsafe(seen.set_result, None)
    return seen


def notify(state: str) -> None:
    """Notify systemd, if it has started us and expects it (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
            pipe.connect("\0" + address[1:] if address.startswith("@") else address)
            pipe.send(state.encode())


def _systemd_wants() -> float:
    """Return the longest time between two notifications, in seconds; infinity: none are wanted."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(asked) / 1e6 if asked.isdecimal() and ours else float("inf")
