"""A call that changes something, from its arrival until its sender has the answer; and what makes two of them one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from krakenonce.errors import DuplicateOrder, InvalidNonce, ServiceUnavailable
from krakenonce.gateway.headers import answered, not_answered, passed_back
from krakenonce.gateway.replies import UNKNOWN_OUTCOME, Reply, unknown
from krakenonce.gateway.sent_record import DIGEST
from krakenonce.key.methods import METHODS, Kind, kind_of, look_at
from krakenonce.kraken.http_status import TOO_MANY
from krakenonce.kraken.sent import LIFETIME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from krakenonce.errors import KrakenAPIError
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.upstream import Forwarded, KrakenKey


_EACH_TIME = ("nonce", "otp", "deadline")  # what a client writes anew into each request for the same order


class Sending:
    """One call that changes something.

    Args:
        local: The local key with which it was signed.
        account: The account with one of whose keys it is sent.
        call: The call.
        digests: Of the signed bytes; and of the order, if it has a ``cl_ord_id``.

    Attributes:
        key: The Kraken key with which it was sent. Only with this one is Kraken asked what became of it: once Kraken
            has accepted a later nonce of it, the order cannot be executed any more.
        is_order: Whether it is one order, which can be found at Kraken.
        at: When it was sent, by Kraken's clock.
        is_entering: Whether it is being entered into the record, and then sent.
        is_sent: Whether it was sent, perhaps.
        left: Set once its sender does not wait for the answer any more.
        duplicate: Kraken's answer, if it says that another order has this ``cl_ord_id``.
        fallback: What the sender gets if nothing better is found out.
        answer: What is known in the end. None: it was not sent after all.
    """

    __slots__ = (
        "account",
        "answer",
        "at",
        "call",
        "digests",
        "duplicate",
        "fallback",
        "is_entering",
        "is_order",
        "is_sent",
        "joined",
        "key",
        "left",
        "local",
        "refusal",
        "steady",
    )

    def __init__(self, local: LocalKey, account: KrakenAccount, call: ClientCall, digests: Sequence[bytes]) -> None:
        self.local = local
        self.account = account
        self.key: KrakenKey = account.keys[0]
        self.call = call
        self.digests = digests
        self.is_order = call.method == "AddOrder" and kind_of(call.method, call.params) is Kind.ORDER
        self.joined: list[bytes] = []
        self.at = 0.0
        self.steady: float | None = None
        self.is_entering = self.is_sent = False
        self.left = asyncio.Event()
        self.duplicate: Reply | None = None
        self.fallback: Reply | None = None
        self.refusal: Reply | None = None
        self.answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

    @property
    def sent_at(self) -> float:
        """When it was sent, by Kraken's clock as it is known now, in seconds since 1970."""
        time = self.key.time
        return self.at if self.steady is None else time.now() - (time.steady() - self.steady)

    @property
    def deadline(self) -> float | None:
        """When Kraken refuses the order, in seconds since 1970; None if it was sent without."""
        try:
            moment = datetime.fromisoformat(str(self.call.params["deadline"]))
        except (KeyError, ValueError):
            return None
        return moment.timestamp() if moment.tzinfo else None

    @property
    def marks(self) -> list[bytes]:
        """The digests that say in the record with which key an order was sent, if the account has several."""
        return [mark_of(self.digests, self.key)] if self.is_order and len(self.account.keys) > 1 else []

    @property
    def may_always_be_made(self) -> bool:
        """Whether it is made even if it cannot be entered: an account must always be able to stop trading."""
        return METHODS[self.call.method].group in ("cancel", "cancel-all")

    @property
    def is_open(self) -> bool:
        """Whether no answer of Kraken's has said what became of it."""
        return self.fallback is None or bool(self.fallback.reason)

    @property
    def has_caller(self) -> bool:
        """Whether its sender waits for the answer."""
        return not self.left.is_set()

    async def is_left(self, seconds: float) -> bool:
        """Return whether its sender does not wait for the answer any more; wait for that, but not for longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.left.wait()
        return self.left.is_set()

    async def wait(self, seconds: float) -> Reply | None:
        """Wait for the answer, but not for longer; then the outcome is unknown. None: it was not sent after all."""
        if not self.answer.done():
            await asyncio.wait([self.answer], timeout=seconds)
        return self.answer.result() if self.answer.done() else self.unknown()

    def traced(self) -> ClientCall:
        """Return the call as it is sent: an order that is to be traced gets a ``cl_ord_id`` and a ``deadline``.

        Where Kraken accepts no ``cl_ord_id``, there is only a deadline. The id follows from the signed bytes, so that a
        repeat after a restart looks for the same order.
        """
        if not (self.local.trace_orders and self.is_order):
            return self.call
        params = self.call.params
        has_none = "userref" in params or any(name.startswith("close") for name in params)
        more = {} if "cl_ord_id" in params or has_none else {"cl_ord_id": f"kn-{self.digests[0].hex()}"}
        if "deadline" not in params:
            until = datetime.fromtimestamp(self.at + LIFETIME, UTC)
            more["deadline"] = until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self.call.with_more(more)

    def came(self, done: Forwarded, waited: float) -> None:
        """Take Kraken's answer: it is what the sender gets, unless it leaves open whether an order was placed.

        Args:
            done: What Kraken has answered.
            waited: Seconds that the call waited in the gateway.
        """
        reply = self.fallback = reply_of(done, waited)
        if done.doubt is None or not (self.is_order or _leaves_open(done.refusal)):
            return
        why = done.doubt
        self.duplicate = reply if isinstance(done.refusal, DuplicateOrder) else None
        if isinstance(done.refusal, InvalidNonce):
            self.refusal = reply
            # Not in Kraken's words, which ccxt looks for in any body.
            why = f"Kraken refused the nonce of {self.call.method}, perhaps that of a copy which came after it."
        if done.answer.status == TOO_MANY:
            told = not_answered("unknown", f"{why} {self.what_to_do()}")
            self.fallback = reply._replace(headers={**reply.headers, **told}, reason=UNKNOWN_OUTCOME)
        else:
            self.fallback = unknown(f"{why} {self.what_to_do()}", passed_back(done.answer.headers))

    def unknown(self) -> Reply:
        """Return the answer as long as nothing is known."""
        return self.fallback or unknown(f"{self.call.method} was sent, but no answer came. {self.what_to_do()}")

    def what_to_do(self) -> str:
        """Return what the sender has to look at, in a sentence."""
        if self.is_order:
            return "It may have been executed: look for it among the open and closed orders before you send another."
        return f"It may have been executed: {look_at(self.call.method)} before you make it again."


def _leaves_open(refusal: KrakenAPIError | None) -> bool:
    """Whether an answer leaves open what became of a call that is no order: a page, or a fault at Kraken."""
    return refusal is None or isinstance(refusal, ServiceUnavailable)


def changes_something(call: ClientCall) -> bool:
    """Return whether a call may not be sent twice.

    One that only reads because of a parameter in the query string counts, too: Kraken may not read it there.
    """
    is_read = kind_of(call.method, call.params) is Kind.READ
    return not is_read or ("?" in call.path and METHODS[call.method].kind is not Kind.READ)


def digest_of(signature: str) -> bytes:
    """Return the digest of signed bytes. Raises ValueError if *signature* is not base64."""
    return base64.b64decode(signature)[:DIGEST]


def digests_of(call: ClientCall, signature: str) -> list[bytes]:
    """Return the digest of the signed bytes, and that of the order if it has a ``cl_ord_id``.

    Args:
        call: The call.
        signature: Its ``API-Sign``, which was checked: an HMAC of the path and the body.
    """
    digests = [digest_of(signature)]
    if METHODS[call.method].kind is Kind.ORDER and call.params.get("cl_ord_id"):
        fields = {name: value for name, value in call.params.items() if name not in _EACH_TIME}
        order = json.dumps([call.method, fields], sort_keys=True)
        digests.append(hashlib.sha256(order.encode("utf-8", "surrogatepass")).digest()[:DIGEST])
    return digests


def mark_of(digests: Sequence[bytes], key: KrakenKey) -> bytes:
    """Return the digest that says in the record with which of an account's keys an order was sent.

    Args:
        digests: Those of the order, or of an equal one with the same ``cl_ord_id``.
        key: The key.
    """
    return hashlib.sha256(digests[-1] + key.name.encode()).digest()[:DIGEST]


def reply_of(done: Forwarded, waited: float) -> Reply:
    """Return the reply with Kraken's answer, unchanged.

    Args:
        done: What Kraken has answered.
        waited: Seconds that the call waited in the gateway.
    """
    headers = {**passed_back(done.answer.headers), **answered(done.nonce, waited, done.seconds)}
    return Reply(done.answer.status, done.answer.content_type, done.answer.data, headers)


def txids_in(reply: Reply) -> list[str]:
    """Return Kraken's ids of the orders that an answer says were placed."""
    try:
        result: Any = json.loads(reply.body).get("result") or {}
        lines = [result, *(result.get("orders") or ())]
        found = [line.get("txid") or () for line in lines]
        return [str(txid) for each in found for txid in ([each] if isinstance(each, str) else each)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []
