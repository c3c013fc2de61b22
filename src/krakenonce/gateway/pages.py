"""What the gateway shows of itself: health, metrics, its status, the last calls and a page. Changes nothing."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.extras import needed_by
from krakenonce.gateway.replies import Reply
from krakenonce.gateway.state_look import StateLook, not_answered, usable_in
from krakenonce.gateway.status import status_of
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.gateway import Gateway
    from krakenonce.manager import NonceManager


_FRESH = 1.0  # seconds for which the status is not made anew, however many browsers ask for it
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FILES = {
    "/": ("status.html", "text/html; charset=utf-8"),
    "/status.css": ("status.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("status", "accounts", "calls", "dom")
    },
}


class Pages:
    """Makes the replies, in any event loop; to be made in that of the calls.

    Args:
        gateway: The gateway whose keys and queues are shown.
        activity: What it has counted.
        manager: Where nonces come from.
        unusable: Returns the accounts whose credentials cannot be used, and why.

    Raises:
        ConfigError: A file of the status page is missing.
    """

    def __init__(
        self,
        gateway: Gateway,
        activity: Activity,
        manager: NonceManager,
        unusable: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._gateway = gateway
        self._activity = activity
        self._unusable = unusable
        self._look = StateLook(gateway.accounts, gateway.local_keys, manager, asyncio.get_running_loop())
        self._status_lock = threading.Lock()  # pages are asked for in two event loops
        self._status_made: Future[Reply] | None = None
        self._status_at = 0.0
        self._making: set[asyncio.Task[None]] = set()
        self._files = {path: Reply(200, kind, _file(name), _HEADERS) for path, (name, kind) in _FILES.items()}
        self._pages: dict[str, Callable[[], Awaitable[Reply]]] = {
            "/healthz": _healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/v1/status": self._status,
            "/v1/calls": self._calls,
        }

    async def get(self, path: str) -> Reply | None:
        """Return the page at a path; None if there is none. If a file cannot be used, the reply says so in one line."""
        page = self._pages.get(path)
        try:
            return await page() if page is not None else self._files.get(path)
        except KrakenonceError as error:
            return _text(503, str(error))

    async def _readyz(self) -> Reply:
        """Calls are accepted: the gateway is not stopping, and local keys and state can be used."""
        if self._gateway.stopping:
            raise ConfigError("the gateway is stopping")
        state = await self._look.get()
        if state.silent:
            raise not_answered(state.silent)
        usable_in(state)
        return _text(200, "ok")

    async def _metrics(self) -> Reply:
        with needed_by("/metrics", "gateway"):
            from krakenonce.gateway.metrics import CONTENT_TYPE, metrics_text
        text = metrics_text(self._activity, self._gateway.accounts, await self._look.get())
        return Reply(200, CONTENT_TYPE, text, _HEADERS)

    async def _status(self) -> Reply:
        """Return the status of this second: the first who asks has it made, and all others get the same."""
        with self._status_lock:
            made, now = self._status_made, time.monotonic()
            is_first = made is None or now - self._status_at >= _FRESH or (made.done() and made.exception() is not None)
            if is_first or made is None:
                made = self._status_made = Future()
                made.set_running_or_notify_cancel()  # who does not wait any more leaves it to the others
                self._status_at = now
        if is_first:
            making = asyncio.create_task(self._make_status(made))
            self._making.add(making)
            making.add_done_callback(self._making.discard)
        return await asyncio.wrap_future(made)

    async def _make_status(self, made: Future[Reply]) -> None:
        try:
            made.set_result(Reply(200, JSON, json.dumps(await self.status()).encode(), _HEADERS))
        except BaseException as error:  # those who wait get it
            made.set_exception(error)

    async def _calls(self) -> Reply:
        return Reply(200, JSON, json.dumps([each._asdict() for each in self._activity.recent]).encode(), _HEADERS)

    async def status(self) -> dict[str, Any]:
        """Return what the status page shows; no key and no secret is in it."""
        return status_of(self._gateway, self._activity, await self._look.get(), self._unusable())


async def _healthz() -> Reply:
    """The process is alive."""
    return _text(200, "ok")


def _file(name: str) -> bytes:
    """Return a file of the status page. Raises ConfigError if it was not installed with the modules."""
    try:
        return (importlib.resources.files("krakenonce.gateway") / "page" / name).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the file {name} of the status page is missing: install krakenonce again, or add the folder "
            "krakenonce/gateway/page to the program that was built of it"
        ) from error


def _text(status: int, line: str) -> Reply:
    return Reply(status, "text/plain", f"{line}\n".encode("utf-8", "replace"), _HEADERS)
