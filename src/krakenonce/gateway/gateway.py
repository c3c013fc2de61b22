"""From a client's request to an answer: who asks, what they may do, when it is their turn, and what Kraken said."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from krakenonce.errors import (
    ConfigError,
    KrakenonceError,
    LockedOut,
    OutcomeUnknown,
    RateLimited,
    RequestNotSent,
)
from krakenonce.gateway.body import has_one_nonce
from krakenonce.gateway.groups import groups_of
from krakenonce.gateway.key_queue import Closed, Full, TooLong
from krakenonce.gateway.replies import JSON, Reply, refusal, unknown
from krakenonce.kraken.methods import METHODS
from krakenonce.kraken.wire import decode_secret, is_json, nonce_of, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.upstream import Forwarded, KrakenKey

__all__ = ["NONCE_PATH", "Gateway"]

NONCE_PATH = "/v1/nonce"
_NONCE = frozenset(("nonce",))


class Gateway:
    """Answers private calls of local clients.

    Args:
        keys: The Kraken keys, by account.
        local_keys: Who may call.
        activity: Where what was done is counted.
    """

    def __init__(
        self,
        keys: Mapping[str, KrakenKey],
        local_keys: LocalKeys,
        activity: Activity,
    ) -> None:
        self.keys = keys
        self.local_keys = local_keys
        self.draining = False
        self._activity = activity
        self._last_local: dict[str, int] = {}

    async def private(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one private call; never raises because of what a client sends.

        Args:
            path: The path with its query string, as received.
            headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
            body: The body, as received.
        """
        method = path.partition("?")[0].removeprefix("/0/private/")
        local, refused = self._admitted(path, method, headers, body)
        reply = refused or await self._called(local, method, path, body, headers.get("Content-Type", ""))
        # What a stranger writes there is nobody's business.
        self._activity.reply(local.name if local else "", method if local else "", reply)
        return reply

    async def nonce(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer ``POST /v1/nonce``, signed like a private call: the next number of the local key's account.

        Order is then the caller's business: whoever takes the next number may be faster.
        """
        local, refused = self._admitted(NONCE_PATH, "", headers, body)
        reply = refused or self._numbered(local)
        self._activity.reply(local.name if local else "", "nonce" if local else "", reply)
        return reply

    def _numbered(self, local: LocalKey) -> Reply:
        key = self.keys.get(local.account)
        if key is None:
            return _no_account(local)
        try:
            number = key.api_key.next()
        except KrakenonceError as error:
            return _not_sent(error)
        # As text, as Kraken itself tells a nonce: many JSON readers round a number this large.
        return Reply(200, JSON, json.dumps({"error": [], "result": {"nonce": str(number)}}).encode(), {})

    def _admitted(self, path: str, method: str, headers: Mapping[str, str], body: bytes) -> tuple[Any, Reply | None]:
        """Return the local key that asks, and a refusal if it must not."""
        content_type = headers.get("Content-Type", "")
        try:
            local = self.local_keys.find(headers.get("API-Key", ""))
        except ConfigError as error:
            return None, refusal("local keys", "EService:Unavailable", f"the gateway's key file: {error}")
        if local is None:
            return None, refusal("invalid key", "EAPI:Invalid key", "this is no key of the gateway's")
        nonce = nonce_of(body, content_type)
        if nonce is None or not has_one_nonce(body, content_type):
            return local, refusal("no nonce", "EAPI:Invalid nonce", "the body must have exactly one nonce, of digits")
        if not verify(path, body, content_type, decode_secret(local.secret), headers.get("API-Sign", "")):
            return local, refusal("invalid signature", "EAPI:Invalid signature", "signed with another secret")
        params = _params(path, body, content_type)
        if params is None or not _goes_as_it_is(path) or not content_type.isascii():
            return local, refusal("body", "EGeneral:Invalid arguments", "the request cannot be read, so it is not sent")
        needed = _NONCE if path == NONCE_PATH else groups_of(method, params)
        if not needed & local.allow:
            return local, refusal(
                "not allowed",
                "EGeneral:Permission denied",
                f"the local key {local.name} may not: this needs {' or '.join(sorted(needed))}",
            )
        return local, self._replayed(local, int(nonce))

    def _replayed(self, local: LocalKey, nonce: int) -> Reply | None:
        if not local.strict_nonce:
            return None
        if nonce <= self._last_local.get(local.key, -1):
            return refusal("replayed", "EAPI:Invalid nonce", "this local key's nonces must rise, and this one does not")
        self._last_local[local.key] = nonce
        return None

    async def _called(self, local: LocalKey, method: str, path: str, body: bytes, content_type: str) -> Reply:
        key = self.keys.get(local.account)
        if key is None:
            return _no_account(local)
        if self.draining:
            return _not_sent(Closed())
        params = _params(path, body, content_type) or {}
        asked = time.monotonic()
        place = key.api_key.place(method, params)

        async def job() -> Forwarded:
            done = await key.forward(place, path, body, content_type)
            with contextlib.suppress(KrakenonceError):  # Kraken has answered, whatever becomes of our counters
                refusal = key.settle(done.answer, place)  # here, for the client may have hung up meanwhile
                if refusal is not None:
                    self._activity.refused_by_kraken(local.name, method, refusal.errors)
            self._activity.sent(local.account, done.seconds)
            return done

        try:
            await key.room(place)
            if self.draining:
                raise Closed
            done = await key.queue.run(job, urgent=METHODS[method].urgent)
        except OutcomeUnknown as error:
            waited = {"X-Krakenonce-Waited": f"{time.monotonic() - asked:.6f}"}
            return unknown(f"{error} The gateway does not repeat it.", waited)
        except (KrakenonceError, Closed, Full, TooLong) as error:
            return _not_sent(error)
        finally:
            key.api_key.leave(place)
        return _passed_on(done, time.monotonic() - asked)


# Why nothing was sent -> a word for metrics, and Kraken's string for it; the first that fits.
_NOT_SENT: tuple[tuple[type[Exception], str, str], ...] = (
    (Closed, "stopping", "EService:Unavailable"),
    (Full, "queue full", "EService:Busy"),
    (TooLong, "queue timeout", "EService:Busy"),
    (LockedOut, "locked out", "EGeneral:Temporary lockout"),
    (RateLimited, "rate limit", "EAPI:Rate limit exceeded"),
    (RequestNotSent, "unreachable", "EService:Unavailable"),
    (ConfigError, "body", "EGeneral:Invalid arguments"),
    (KrakenonceError, "nonce", "EService:Unavailable"),
)


def _no_account(local: LocalKey) -> Reply:
    return refusal("no account", "EService:Unavailable", f"there are no credentials for {local.account} now")


def _not_sent(error: Exception) -> Reply:
    reason, string = next((reason, string) for kind, reason, string in _NOT_SENT if isinstance(error, kind))
    return refusal(reason, string, str(error))


def _passed_on(done: Forwarded, seconds: float) -> Reply:
    headers = {
        "X-Krakenonce-Nonce": str(done.nonce),
        "X-Krakenonce-Waited": f"{max(0.0, seconds - done.seconds):.6f}",
        "X-Krakenonce-Upstream": f"{done.seconds:.6f}",
    }
    return Reply(done.answer.status, done.answer.content_type, done.answer.data, headers)


def _goes_as_it_is(path: str) -> bool:
    """Whether an HTTP client sends this path as it is signed: none sends a fragment, nor a question mark alone."""
    return path.isascii() and "#" not in path and path.partition("?")[1:] != ("?", "")


def _params(path: str, body: bytes, content_type: str) -> dict[str, Any] | None:
    """The parameters, for groups and limits, those of the query string among them. None: they cannot be read."""
    found: Any = dict(parse_qsl(path.partition("?")[2], keep_blank_values=True))
    try:
        if is_json(content_type):
            return {**found, **json.loads(body)}
        return {**found, **dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))}
    except (ValueError, RecursionError, TypeError):
        return None
