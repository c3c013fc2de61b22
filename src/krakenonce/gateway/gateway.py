"""From a client's request to an answer: who calls, what they may do, when it is their turn, and what Kraken answers."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from krakenonce.errors import (
    CancelledBeforeSent,
    ConfigError,
    InvalidKey,
    InvalidSignature,
    KrakenonceError,
    LockedOut,
    OutcomeUnknown,
    PermissionDenied,
    PoisonedKey,
    RateLimited,
    RequestNotSent,
)
from krakenonce.gateway.answered import NONCE
from krakenonce.gateway.asked import Asked
from krakenonce.gateway.client_call import method_in, read_call
from krakenonce.gateway.fence import Fence
from krakenonce.gateway.groups import groups_of, why_not
from krakenonce.gateway.headers import can_pass, passed_on
from krakenonce.gateway.own_calls import owner_of
from krakenonce.gateway.replies import Refused, Reply, kraken_json, not_sent, unknown
from krakenonce.gateway.sending import changes_something, reply_of
from krakenonce.gateway.sent_record import RecordFull
from krakenonce.gateway.state_steps import StateSteps
from krakenonce.gateway.waiting import Closed, Full, NotBegun, TooLong
from krakenonce.key.not_known import say_if_not_known
from krakenonce.kraken.wire import JSON, decode_secret, is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.backends import Backend
    from krakenonce.gateway.activity import Activity
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.making import Turn


logger = logging.getLogger("krakenonce")

NONCE_PATH = "/v1/nonce"
_NONCE = frozenset(("nonce",))


class Gateway:
    """Answers the signed calls of local clients.

    Args:
        accounts: The accounts with their Kraken keys, by name.
        local_keys: The keys with which clients may call.
        store: The state.
        activity: Where calls are counted.
    """

    def __init__(
        self, accounts: dict[str, KrakenAccount], local_keys: LocalKeys, store: Backend, activity: Activity
    ) -> None:
        self.accounts = accounts
        self.local_keys = local_keys
        self.stopping = False
        self._activity = activity
        self._steps = StateSteps(store)
        self._reading = asyncio.Lock()
        self._fence = Fence(store, local_keys, activity, self._steps)
        self._misused: set[str] = set()  # accounts whose Kraken key a client has sent

    def stop(self) -> None:
        """Send no call that has not begun, and stop looking for orders."""
        self.stopping = True
        self._fence.close()

    def end(self) -> None:
        """Write everything down; no call comes after that."""
        self._fence.records.end()

    async def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one signed call; never raises because of what a client sends.

        ``POST /v1/nonce`` is answered with the next nonce of the account's counter. The caller then has to keep its
        calls in order.

        Args:
            path: The path with its query string, as received.
            headers: The client's headers, with ``API-Key``, ``API-Sign`` and ``Content-Type``; names in any case.
            body: The body, as received.
        """
        asked = Asked(self._activity, NONCE if path == NONCE_PATH else method_in(path))
        try:
            local = asked.local = await self._local_key(headers)
            call = self._admitted(local, path, headers, body)
            account = self.accounts.get(local.account)
            if account is None:
                raise Refused(
                    "no_account",
                    "EService:Unavailable",
                    f"the gateway has no usable credentials for account {local.account}; its log says more",
                )
            await self._fence.records.prepare(local)
            if path == NONCE_PATH:
                reply = await _issued(account)
            elif changes_something(call):
                asked.params = call.params
                reply = await self._fence.make(asked, local, account, call, headers["API-Sign"], passed_on(headers))
            else:
                reply = await self._asked(asked, local, account, call, passed_on(headers))
        except Refused as refused:
            reply = not_sent(*refused.args)
            if reply.reason in _NOT_ASKED and await self._fence.may_have_sent(headers):
                explanation = reply.headers["X-Krakenonce-Explanation"]
                reply = unknown(
                    f"This request may have been sent before. What became of it cannot be told now: {explanation}."
                )
        except (KrakenonceError, NotBegun) as error:
            reason, string = next((reason, string) for kind, reason, string in _NOT_SENT if isinstance(error, kind))
            reply = not_sent(reason, string, str(error))
        except asyncio.CancelledError:
            asked.leave()
            raise
        asked.answer(reply)
        return reply

    async def _local_key(self, headers: Mapping[str, str]) -> LocalKey:
        try:
            async with self._reading:  # once for all calls that have come
                if not self.local_keys.is_at_hand:
                    await self._steps.run(self.local_keys.refresh)
            local = self.local_keys.find(headers.get("API-Key", ""))
        except ConfigError as error:
            raise Refused(
                "key_file", "EService:Unavailable", f"the gateway's local keys cannot be used: {error}"
            ) from error
        if local is None:
            raise self._stranger(headers.get("API-Key", ""))
        return local

    def _stranger(self, key: str) -> Refused:
        """Return the refusal of a key that is not a local one; if it is Kraken's, it is logged, once for an account."""
        owner = owner_of(key, self.accounts)
        if owner is None:
            return Refused("invalid_key", "EAPI:Invalid key", "this is not a local key of this gateway")
        explanation = (
            f"this is Kraken's key of account {owner}, not a local key: either the bot has it in place of a pair of "
            "`krakenonce gateway add-key`, or the gateway calls itself, because Kraken's host name leads here: give "
            "--connect-to Kraken's IP address"
        )
        if owner not in self._misused:
            self._misused.add(owner)
            logger.error("a call was refused: %s", explanation)
        return Refused("own_key", "EAPI:Invalid key", explanation)

    def _admitted(self, local: LocalKey, path: str, headers: Mapping[str, str], body: bytes) -> ClientCall:
        """Return the call, which is signed with the local key's secret and which that key may make."""
        call = read_call(path, body, headers.get("Content-Type", ""))
        if call is None:
            raise Refused("no_nonce", "EAPI:Invalid nonce", "the body must have exactly one nonce, written in digits")
        if not is_signed(path, call.nonce, body, decode_secret(local.secret), headers.get("API-Sign", "")):
            raise Refused(
                "invalid_signature",
                "EAPI:Invalid signature",
                "the secret is not this local key's, or the client signed other bytes than it sent (True, None, lists)",
            )
        if not (call.can_pass() and can_pass(headers)):
            raise ConfigError("the request cannot be passed on unchanged; it was not sent")
        needed = _NONCE if path == NONCE_PATH else groups_of(call.method, call.params)
        if not needed & local.allow:
            raise Refused("not_allowed", "EGeneral:Permission denied", why_not(local.name, needed))
        if path != NONCE_PATH:
            say_if_not_known(call.method)
        return call

    async def _asked(
        self, asked: Asked, local: LocalKey, account: KrakenAccount, call: ClientCall, headers: dict[str, str]
    ) -> Reply:
        """Make a call that only reads."""
        began = time.monotonic()

        async def send(turn: Turn) -> Reply:  # continues to its end, even if the client has disconnected
            try:
                done = await account.forward(turn, call, headers)
            except OutcomeUnknown as error:
                asked.reply = unknown(error)
                raise
            asked.reply = reply = reply_of(done, max(0.0, time.monotonic() - began - done.seconds))
            self._activity.forwarded(local.name, local.account, call.method, done)
            turn.pass_over(done.refusal)
            return reply

        try:
            return await account.make(call, send, self._refuse_if_stopping, asked)
        except OutcomeUnknown as error:
            return unknown(error)

    def _refuse_if_stopping(self) -> None:
        if self.stopping:
            raise Closed


async def _issued(account: KrakenAccount) -> Reply:
    # As a string, as Kraken returns a nonce: many JSON readers round an integer this large.
    return Reply(200, JSON, kraken_json(error=[], result={"nonce": str(await account.keys[0].issue())}), {})


# Why a call was refused before it was looked whether it is a repeat, although its sender is not to blame.
_NOT_ASKED = ("key_file", "no_account")
# Why a call was not sent -> a word for metrics, and Kraken's error string for it; the first that fits.
_NOT_SENT: tuple[tuple[type[Exception], str, str], ...] = (
    (Closed, "stopping", "EService:Unavailable"),
    (Full, "queue_full", "EService:Unavailable"),
    (TooLong, "queue_timeout", "EService:Unavailable"),
    (LockedOut, "locked_out", "EGeneral:Temporary lockout"),
    (RateLimited, "rate_limit", "EAPI:Rate limit exceeded"),
    (RecordFull, "record_full", "EService:Unavailable"),
    (RequestNotSent, "no_connection", "EService:Unavailable"),
    (CancelledBeforeSent, "cancelled", "EGeneral:Invalid arguments"),  # not what clients repeat
    # None of the account's keys can be used: why the one cannot that is tried again first.
    (InvalidKey, "keys_refused", "EAPI:Invalid key"),
    (InvalidSignature, "keys_refused", "EAPI:Invalid signature"),
    (PermissionDenied, "keys_refused", "EGeneral:Permission denied"),
    (PoisonedKey, "keys_refused", "EAPI:Invalid nonce"),
    (ConfigError, "invalid_body", "EGeneral:Invalid arguments"),
    (KrakenonceError, "nonce", "EService:Unavailable"),
)
