"""What the gateway shows of itself: /healthz, /readyz, /metrics, /v1/status and the status page. Changes nothing."""

from __future__ import annotations

import importlib.resources
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.extras import needed_by
from krakenonce.gateway.replies import Reply
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.upstream import KrakenKey
    from krakenonce.manager import NonceManager


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
        gateway: The gateway whose keys and queues are shown.
        activity: What it has counted.
        manager: Where nonces come from.

    Raises:
        ConfigError: A file of the status page is missing.
    """

    def __init__(self, gateway: Gateway, activity: Activity, manager: NonceManager) -> None:
        self._gateway = gateway
        self._activity = activity
        self._manager = manager
        self._pages: dict[str, Callable[[], Reply]] = {
            "/healthz": partial(_text, 200, "ok"),  # the process is alive
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/v1/status": lambda: Reply(200, JSON, json.dumps(self.status()).encode(), _HEADERS),
        }
        for path, (name, content_type) in _FILES.items():
            self._pages[path] = partial(Reply, 200, content_type, _file(name), _HEADERS)

    def get(self, path: str) -> Reply | None:
        """Return the page at a path; None if there is none. If a file cannot be used, the reply says so in one line."""
        page = self._pages.get(path)
        try:
            return page() if page is not None else None
        except KrakenonceError as error:
            return _text(503, str(error))

    def _readyz(self) -> Reply:
        """Calls are accepted: the gateway is not stopping, and key file and state can be used."""
        if self._gateway.stopping:
            raise ConfigError("the gateway is stopping")
        self._gateway.local_keys.all()
        self._manager.peek()
        return _text(200, "ok")

    def _metrics(self) -> Reply:
        with needed_by("/metrics", "gateway"):
            from krakenonce.gateway.metrics import CONTENT_TYPE, metrics_text
        return Reply(200, CONTENT_TYPE, metrics_text(self._activity, self._gateway.keys, self._manager), _HEADERS)

    def status(self) -> dict[str, Any]:
        """Return what the status page shows; no key and no secret is in it."""
        stats = self._manager.stats()
        return {
            "now": time.time(),
            "started": self._activity.started,
            "stopping": self._gateway.stopping,
            "lead_seconds": (stats.lead_ns or 0) / 1e9,
            "nonces_issued": stats.issued,
            "accounts": [self._account(name, key) for name, key in self._gateway.keys.items()],
            "local_keys": [
                {"name": each.name, "account": each.account, "allow": sorted(each.allow)}
                for each in self._gateway.local_keys.all()
            ],
            "answered": dict(self._activity.answered),
            "not_sent": dict(self._activity.not_sent),
            "unknown_outcomes": self._activity.unknown_outcomes,
            "refusals": [each._asdict() for each in self._activity.refusals],
        }

    def _account(self, name: str, key: KrakenKey) -> dict[str, Any]:
        return {
            "account": name,
            "key": fingerprint(key.account.key),
            "scope": key.scope,
            "tier": key.account.tier,
            "turn_held_by": key.queue.turn,
            "waiting": len(key.queue),
            "counters": key.counters(),
            "locked_out_seconds": key.api_key.locked_out(),
            "answered": sum(self._activity.kraken[name].counts),
            "upstream_seconds": self._activity.kraken[name].total,
            "refused": dict(key.refused),
        }


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
