"""How a caller sleeps until it is woken, without stopping other tasks or greenlets of its thread.

A bell may be rung from any thread.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any

from krakenonce.errors import LaneError
from krakenonce.key.callers import in_trio, running_loop
from krakenonce.native import allocate_lock, read, write


def has_hub() -> bool:
    """Whether gevent or eventlet runs greenlets in this thread, which a wait in the kernel would stop."""
    return _gevent_hub() is not None or _eventlet_hub() is not None


def bell_for_thread() -> ThreadBell | HubBell:
    """Return the bell for a call that is not awaited."""
    return HubBell() if has_hub() else ThreadBell()


def bell_for_task() -> AsyncioBell | TrioBell:
    """Return the bell for a task of asyncio or trio. Raises LaneError if neither is running."""
    if running_loop() is not None:
        return AsyncioBell()
    if in_trio():
        return TrioBell()
    raise LaneError("`async with` a lane needs asyncio or trio; in another event loop use threads, and `with` there")


class ThreadBell:
    """Wakes a thread."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake it."""
        if self._lock.locked():
            self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Return whether the bell was rung within *timeout* seconds; None: for ever."""
        return self._lock.acquire(timeout=_seconds(timeout))

    def close(self) -> None:
        """Nothing to close."""


class HubBell:
    """Wakes a greenlet of gevent or eventlet, through a pipe: it waits for the pipe while other greenlets run."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()

    def ring(self) -> None:
        """Wake it."""
        write(self._rung, b"!")

    def wait(self, timeout: float | None) -> bool:
        """Return whether the bell was rung within *timeout* seconds; None: for ever."""
        try:
            if _gevent_hub() is not None:
                importlib.import_module("gevent.socket").wait_read(self._heard, timeout, TimeoutError())
            else:
                hubs = sys.modules["eventlet.hubs"]
                hubs.trampoline(self._heard, read=True, timeout=timeout, timeout_exc=TimeoutError())
        except TimeoutError:
            return False
        read(self._heard, 1)
        return True

    def close(self) -> None:
        """Close the pipe. Must not be called while another thread rings."""
        os.close(self._heard)
        os.close(self._rung)


class AsyncioBell:
    """Wakes a task of asyncio."""

    def __init__(self) -> None:
        import asyncio

        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    def ring(self) -> None:
        """Wake it. Raises RuntimeError if its event loop is closed."""
        import asyncio

        if running_loop() is self._loop and asyncio.current_task(self._loop) is not None:
            self._event.set()  # the loop is awake, and no signal handler has interrupted its sleep
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout: float | None) -> None:
        """Return when the bell is rung, or after *timeout* seconds; None: never."""
        timer = self._loop.call_later(_seconds(timeout), self._event.set)
        try:
            await self._event.wait()
        finally:
            timer.cancel()


class TrioBell:
    """Wakes a task of trio."""

    def __init__(self) -> None:
        self._trio: Any = sys.modules["trio"]
        self._token, self._event = self._trio.lowlevel.current_trio_token(), self._trio.Event()

    def ring(self) -> None:
        """Wake it. Raises RuntimeError if its event loop has ended."""
        self._token.run_sync_soon(self._event.set)

    async def wait(self, timeout: float | None) -> None:
        """Return when the bell is rung, or after *timeout* seconds; None: never."""
        with self._trio.move_on_after(_seconds(timeout)):
            await self._event.wait()


def _seconds(timeout: float | None) -> float:
    """Return *timeout* as the threading and asyncio modules accept it; centuries for None."""
    return threading.TIMEOUT_MAX if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)


def _gevent_hub() -> object:
    module = sys.modules.get("gevent._hub_local")
    return module.get_hub_if_exists() if module is not None else None


def _eventlet_hub() -> object:
    module = sys.modules.get("eventlet.hubs")
    return getattr(module._threadlocal, "hub", None) if module is not None else None
