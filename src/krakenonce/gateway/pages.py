"""What the gateway shows of itself: /healthz, /readyz, /metrics, /v1/status and the status page. Changes nothing."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import math
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.extras import needed_by
from krakenonce.gateway.health import health_in
from krakenonce.gateway.replies import Reply
from krakenonce.gateway.state_look import StateLook, not_answered, usable_in
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.state_look import KeyState, State
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
    "/status.js": ("status.js", "text/javascript; charset=utf-8"),
}


class Pages:
    """Makes the replies, in any event loop; to be made in that of the calls.

    Args:
        gateway: The gateway whose keys and queues are shown.
        activity: What it has counted.
        manager: Where nonces come from.

    Raises:
        ConfigError: A file of the status page is missing.
    """

    def __init__(self, gateway: Gateway, activity: Activity, manager: NonceManager) -> None:
        self._gateway = gateway
        self._activity = activity
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

    async def status(self) -> dict[str, Any]:
        """Return what the status page shows; no key and no secret is in it."""
        state = await self._look.get()
        stats = state.counters["global"]
        return {
            "now": time.time(),
            "started": self._activity.started,
            "stopping": self._gateway.stopping,
            "state_silent_seconds": state.silent,
            "lead_seconds": (stats.lead_ns or 0) / 1e9,
            "nonces_issued": stats.issued,
            "accounts": [
                self._account(name, each, state)
                for name, each in self._gateway.accounts.copy().items()
                if name in state.accounts
            ],
            "local_keys": [
                {"name": each.name, "account": each.account, "allow": sorted(each.allow)} for each in usable_in(state)
            ],
            "answered": dict(self._activity.answered),
            "not_sent": dict(self._activity.not_sent),
            "unknown_outcomes": self._activity.unknown_outcomes,
            "refusals": [each._asdict() for each in self._activity.refusals.copy()],  # calls go on in another thread
        }

    def _account(self, name: str, account: KrakenAccount, state: State) -> dict[str, Any]:
        seen = state.accounts[name]
        health = health_in(account, seen, time.time())
        return {
            "account": name,
            "health": {**health._asdict(), "words": health.words},
            "key": seen.keys[0].name,
            "scope": seen.keys[0].scope,
            "keys": [_key(each) for each in seen.keys],
            "tier": account.account.tier,
            "turn_held_by": seen.turn,
            "waiting": len(account.queue),
            "counters": seen.rates,
            "locked_out_seconds": seen.locked_out,
            "answered": sum(self._activity.kraken[name].counts),
            "upstream_seconds": self._activity.kraken[name].total,
            "refused": dict(sum((each.refused for each in account.keys), Counter[str]())),
        }


def _key(key: KeyState) -> dict[str, Any]:
    out = [{"why": why, "seconds": seconds if math.isfinite(seconds) else None} for why, seconds in key.out]
    return {"key": key.name, "scope": key.scope, "locked_out_seconds": key.locked_out, "passed_over": out}


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
