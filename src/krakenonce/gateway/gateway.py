"""From a client's request to an answer: who asks, what they may do, when it is their turn, and what Kraken said."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from krakenonce.errors import (
    ConfigError,
    KrakenonceError,
    LockedOut,
    OutcomeUnknown,
    RateLimited,
    RequestNotSent,
)
from krakenonce.gateway.client_call import method_in, read_call
from krakenonce.gateway.groups import groups_of
from krakenonce.gateway.key_queue import Closed, Full, TooLong
from krakenonce.gateway.replies import JSON, Reply, refusal, unknown
from krakenonce.key.methods import METHODS
from krakenonce.kraken.wire import decode_secret, is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.upstream import Forwarded, KrakenKey

__all__ = ["NONCE_PATH", "Gateway"]

NONCE_PATH = "/v1/nonce"
_NONCE = frozenset(("nonce",))


class Refused(Exception):
    """The gateway refuses a call; its arguments are those of :func:`refusal`."""


class Gateway:
    """Answers the signed calls of local clients.

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

    async def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one signed call; never raises because of what a client sends.

        ``POST /v1/nonce`` is answered with the next nonce of the local key's account. The caller then has to keep its
        calls in order.

        Args:
            path: The path with its query string, as received.
            headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
            body: The body, as received.
        """
        local = None
        try:
            local = self._local_key(headers)
            call = self._admitted(local, path, headers, body)
            key = self.keys.get(local.account)
            if key is None:
                raise Refused("no account", "EService:Unavailable", f"there are no credentials for {local.account} now")
            reply = _issued(key) if path == NONCE_PATH else await self._called(local, key, call)
        except Refused as error:
            reply = refusal(*error.args)
        except (KrakenonceError, Closed, Full, TooLong) as error:
            reason, string = next((reason, string) for kind, reason, string in _NOT_SENT if isinstance(error, kind))
            reply = refusal(reason, string, str(error))
        method = "nonce" if path == NONCE_PATH else method_in(path)
        # What a stranger writes there is nobody's business.
        self._activity.reply(local.name if local else "", method if local else "", reply)
        return reply

    def _local_key(self, headers: Mapping[str, str]) -> LocalKey:
        try:
            local = self.local_keys.find(headers.get("API-Key", ""))
        except ConfigError as error:
            raise Refused("local keys", "EService:Unavailable", f"the gateway's key file: {error}") from error
        if local is None:
            raise Refused("invalid key", "EAPI:Invalid key", "this is no key of the gateway's")
        return local

    def _admitted(self, local: LocalKey, path: str, headers: Mapping[str, str], body: bytes) -> ClientCall:
        """Return the call, which is signed with the local key's secret and which it may make."""
        call = read_call(path, body, headers.get("Content-Type", ""))
        if call is None:
            raise Refused("no nonce", "EAPI:Invalid nonce", "the body must have exactly one nonce, of digits")
        if not is_signed(path, call.nonce, body, decode_secret(local.secret), headers.get("API-Sign", "")):
            raise Refused("invalid signature", "EAPI:Invalid signature", "signed with another secret")
        if not call.goes_as_it_is():
            raise ConfigError("the request cannot be passed on as it is, so it is not sent")
        needed = _NONCE if path == NONCE_PATH else groups_of(call.method, call.params)
        if not needed & local.allow:
            raise Refused(
                "not allowed",
                "EGeneral:Permission denied",
                f"the local key {local.name} may not: this needs {' or '.join(sorted(needed))}",
            )
        if local.strict_nonce:
            if int(call.nonce) <= self._last_local.get(local.key, -1):
                raise Refused(
                    "replayed", "EAPI:Invalid nonce", "this local key's nonces must rise, and this one does not"
                )
            self._last_local[local.key] = int(call.nonce)
        return call

    async def _called(self, local: LocalKey, key: KrakenKey, call: ClientCall) -> Reply:
        asked = time.monotonic()
        place = key.api_key.place(call.method, call.params)

        async def send() -> Forwarded:  # goes on to its end in the turn, though the client may have hung up
            done = await key.forward(place, call)
            if done.refusal is not None:
                self._activity.refused_by_kraken(local.name, call.method, done.refusal.errors)
            self._activity.sent(local.account, done.seconds)
            return done

        try:
            await key.room(place)
            if self.draining:
                raise Closed
            done = await key.queue.run(send, urgent=METHODS[call.method].urgent)
        except OutcomeUnknown as error:
            waited = {"X-Krakenonce-Waited": f"{time.monotonic() - asked:.6f}"}
            return unknown(f"{error} The gateway does not repeat it.", waited)
        finally:
            key.api_key.leave(place)
        headers = {
            "X-Krakenonce-Nonce": str(done.nonce),
            "X-Krakenonce-Waited": f"{max(0.0, time.monotonic() - asked - done.seconds):.6f}",
            "X-Krakenonce-Upstream": f"{done.seconds:.6f}",
        }
        return Reply(done.answer.status, done.answer.content_type, done.answer.data, headers)


def _issued(key: KrakenKey) -> Reply:
    # As text, as Kraken itself writes a nonce: many JSON readers round a number this large.
    return Reply(200, JSON, json.dumps({"error": [], "result": {"nonce": str(key.api_key.next())}}).encode(), {})


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
