"""What became of an order whose answer was lost: looked for at Kraken, and kept for the one who asks again."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any

from krakenonce.gateway.headers import not_answered
from krakenonce.gateway.replies import Reply, kraken_json, not_sent
from krakenonce.gateway.sending import txids_in
from krakenonce.gateway.sent_record import Status
from krakenonce.kraken.finding import Window
from krakenonce.kraken.sent import MARGIN, WITHOUT_DEADLINE
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Mapping, Sequence

    from krakenonce.gateway.sending import Sending


_LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # seconds after the first look: each costs two calls of the rate limit
_SKEW = 2.5  # seconds by which Kraken's time may be wrong that its answers tell, in whole seconds
_UNKNOWN_CLOCK = 60.0  # seconds by which this machine's clock may be wrong
_LARGEST = 8192  # bytes of an answer that is kept


async def look(sending: Sending, others: Container[str]) -> Reply | None:
    """Look for an order once, in the turn of its key. Return the answer to it; None: it is not known.

    Args:
        sending: The order.
        others: Kraken's ids of orders that are known to be others.

    Raises:
        KrakenonceError: Kraken could not be asked.
    """
    before = sending.key.time.earliest()  # Kraken's lists are not older than that
    found = await sending.key.look_for(sending.call.params, window(sending), others)
    deadline = sending.deadline
    is_over = deadline is not None and before > deadline + MARGIN.total_seconds()
    if found.in_doubt or not (found.orders or is_over):
        return None
    for txid, order in found.orders.items():
        return _placed(txid, order)
    return not_sent(
        "deadline",
        "EService:Deadline elapsed",
        "no answer came to this order; its deadline is over, and Kraken's lists do not have it: it was not placed",
    )._replace(reason="")


def window(sending: Sending) -> Window:
    """Return when an order was opened that was sent then."""
    before = _SKEW if sending.key.time.known else _UNKNOWN_CLOCK
    return Window(sending.at - before, sending.at + WITHOUT_DEADLINE.total_seconds() + before)


async def pauses(sending: Sending, longest: float, *, at_once: bool) -> AsyncIterator[None]:
    """Yield when to look again: for so many seconds after the order was sent, and until its deadline is over."""
    if at_once:
        yield
    key = sending.key
    until = max(sending.at + longest, (sending.deadline or 0.0) + MARGIN.total_seconds() + _SKEW)
    waited = 0.0
    for after in _LOOKS:
        left = until - key.time.now()
        if left <= 0:
            return
        pause = min(after - waited, left)
        waited += pause
        await asyncio.sleep(pause)
        yield


def note_of(sending: Sending, status: Status, reply: Reply) -> dict[str, Any] | None:
    """Return what is noted about a call that was answered: of a received one only which orders were placed."""
    note: dict[str, Any] = {
        "of": [digest.hex() for digest in sending.digests],
        "at": int(sending.at),
        "txid": txids_in(reply),
    }
    if status is Status.DELIVERED or len(reply.body) > _LARGEST:
        return note if note["txid"] else None
    if sending.call.params.get("cl_ord_id"):
        note["cl_ord_id"] = sending.call.params["cl_ord_id"]
    return {
        **note,
        "status": reply.status,
        "type": reply.content_type,
        "body": base64.b64encode(reply.body).decode(),
    }


def kept(notes: Sequence[Mapping[str, Any]], digest: bytes) -> Reply | None:
    """Return the answer to a call that nobody has received; None if it is not among the notes any more."""
    for note in reversed(notes):
        if digest.hex() in note.get("of", ()) and "body" in note:
            try:
                return Reply(note["status"], note["type"], base64.b64decode(note["body"]), {})
            except (KeyError, TypeError, binascii.Error):
                return None
    return None


def _placed(txid: str, order: Mapping[str, Any]) -> Reply:
    """Return the answer that Kraken would have given."""
    described = {name: order["descr"][name] for name in ("order", "close") if order["descr"].get(name)}
    body = kraken_json(error=[], result={"descr": described, "txid": [txid]})
    explanation = "no answer came to this order; the gateway has asked Kraken, which has it"
    return Reply(200, JSON, body, not_answered("yes", explanation))
