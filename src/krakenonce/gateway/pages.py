"""What the gateway shows of itself: /healthz, /readyz, /metrics, /v1/status and the status page. It only reads."""

from __future__ import annotations

import importlib.resources
import json
import time
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.gateway.replies import JSON, Reply
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.gateway import Gateway
    from krakenonce.manager import NonceManager

__all__ = ["Pages"]

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
    """Makes the replies.

    Args:
        gateway: Whose keys and queues are shown.
        activity: What has been counted.
        manager: Where the numbers come from.
    """

    def __init__(self, gateway: Gateway, activity: Activity, manager: NonceManager) -> None:
        self._gateway = gateway
        self._activity = activity
        self._manager = manager

    def by_path(self) -> dict[str, Callable[[], Awaitable[Reply]]]:
        """Return what makes the reply, for each path."""
        pages: dict[str, Callable[[], Awaitable[Reply]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/v1/status": self._status,
        }
        for path, (name, content_type) in _FILES.items():
            data = (importlib.resources.files("krakenonce.gateway") / "page" / name).read_bytes()
            pages[path] = _file(Reply(200, content_type, data, _HEADERS))
        return {path: _or_why_not(page) for path, page in pages.items()}

    async def _healthz(self) -> Reply:
        """The process is alive."""
        return Reply(200, "text/plain", b"ok\n", _HEADERS)

    async def _readyz(self) -> Reply:
        """Calls are taken: not stopping, and key file and state can be used."""
        if self._gateway.draining:
            raise ConfigError("stopping")
        self._gateway.local_keys.all()
        self._manager.peek()
        return Reply(200, "text/plain", b"ok\n", _HEADERS)

    async def _metrics(self) -> Reply:
        try:
            from krakenonce.gateway.metrics import CONTENT_TYPE, metrics_text
        except ImportError:
            message = b"metrics need prometheus-client: pip install 'krakenonce[gateway]'\n"
            return Reply(501, "text/plain", message, _HEADERS)
        return Reply(200, CONTENT_TYPE, metrics_text(self._activity, self._gateway.keys, self._manager), _HEADERS)

    async def _status(self) -> Reply:
        return Reply(200, JSON, json.dumps(self.status()).encode(), _HEADERS)

    def status(self) -> dict[str, Any]:
        """Return what the status page shows; no key and no secret is in it."""
        seen = self._manager.stats()
        return {
            "now": time.time(),
            "started": self._activity.started,
            "draining": self._gateway.draining,
            "lead_seconds": (seen.lead_ns or 0) / 1e9,
            "issued": seen.issued,
            "accounts": [
                {
                    "account": name,
                    "key": fingerprint(key.account.key),
                    "scope": key.scope,
                    "tier": key.account.tier,
                    "turn": key.queue.turn,
                    "waiting": len(key.queue),
                    "counters": key.counters(),
                    "locked_out_seconds": key.api_key.locked_out(),
                    "answered": sum(self._activity.upstream[name].counts) if name in self._activity.upstream else 0,
                    "upstream_seconds": self._activity.upstream[name].total if name in self._activity.upstream else 0.0,
                    "refused_by_kraken": dict(key.refused),
                }
                for name, key in self._gateway.keys.items()
            ],
            "local_keys": [
                {"name": each.name, "account": each.account, "allow": sorted(each.allow)}
                for each in self._gateway.local_keys.all()
            ],
            "answered": dict(self._activity.answered),
            "refused": dict(self._activity.refused),
            "complaints": [each._asdict() for each in self._activity.complaints],
        }


def _or_why_not(page: Callable[[], Awaitable[Reply]]) -> Callable[[], Awaitable[Reply]]:
    """A file that cannot be used is told in a line."""

    async def told() -> Reply:
        try:
            return await page()
        except KrakenonceError as error:
            return Reply(503, "text/plain", f"{error}\n".encode("utf-8", "replace"), _HEADERS)

    return told


def _file(reply: Reply) -> Callable[[], Awaitable[Reply]]:
    async def page() -> Reply:
        return reply

    return page
