"""What became of an order whose answer was lost: looked for at Kraken, and kept for the one who asks again."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any

from krakenonce.errors import InvalidNonce
from krakenonce.gateway.headers import OF_GATEWAYS, not_answered
from krakenonce.gateway.replies import Reply, kraken_json, not_sent
from krakenonce.gateway.sending import txids_in
from krakenonce.gateway.sent_record import Status
from krakenonce.kraken.finding import Window, is_equal, opened
from krakenonce.kraken.noting import note_found, note_unknown
from krakenonce.kraken.sent import MARGIN, WITHOUT_DEADLINE
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence

    from krakenonce.gateway.sending import Sending
    from krakenonce.gateway.sent_record import Entry


_LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # seconds after the first look: each costs two calls of the rate limit
_SKEW = 2.5  # seconds by which Kraken's time may be wrong that its answers tell, in whole seconds
_UNKNOWN_CLOCK = 60.0  # seconds by which this machine's clock may be wrong
_LARGEST = 8192  # bytes of an answer that is kept


async def look(sending: Sending, known: Container[str], waiting: Iterable[Sending], *, is_first: bool) -> Reply | None:
    """Look for an order once, in the turn of its key. Return the answer to it; None: it is not known.

    Args:
        sending: The order.
        known: Kraken's ids of orders that are known to be others.
        waiting: Other orders of which it is not known either what became of them.
        is_first: Whether it is looked for the first time, or because its sender repeats it.

    Raises:
        KrakenonceError: Kraken could not be asked.
    """
    before = sending.key.time.earliest()  # Kraken's lists are not older than that
    try:
        found = await sending.key.look_for(sending.call.params, window(sending), known, is_first=is_first)
    except InvalidNonce:
        if sending.refusal is None:
            raise
        return sending.refusal  # Kraken has refused the order's nonce, and refuses a later one as well
    if sending.duplicate is not None and all(txid in known for txid in found.orders):
        return sending.duplicate
    deadline = sending.deadline
    is_over = deadline is not None and before > deadline + MARGIN.total_seconds()
    if found.in_doubt or not (found.orders or is_over):
        return None
    if any(txid in known for txid in found.orders) or any(
        _may_be(order, each) for order in found.orders.values() for each in waiting
    ):
        return None
    for txid, order in found.orders.items():
        return _placed(txid, order)
    return not_sent(
        "deadline",
        "EService:Deadline elapsed",
        "no answer came to this order; its deadline is over, and Kraken's lists do not have it: it was not placed",
    )._replace(reason="")


def note_if_unknown(sending: Sending) -> None:
    """Note in the journal that it is not known what became of a call, if that is so."""
    if sending.is_open:
        note_unknown(sending.key.api_key, sending.call.method, sending.call.params, f"sent by {sending.local.name}")


def note_if_found(sending: Sending, reply: Reply) -> None:
    """Note in the journal what became of a call, if that was not known before."""
    if sending.is_open:
        txids = txids_in(reply)
        note_found(sending.key.api_key, sending.call.method, sending.call.params, bool(txids), txids)


def others(sending: Sending, notes: Iterable[Mapping[str, Any]], sendings: Iterable[Sending]) -> set[str]:
    """Return Kraken's ids of the orders that other calls with this account have placed.

    Args:
        sending: The order that is looked for.
        notes: The notes of the account's local keys.
        sendings: The calls in progress.
    """
    at, own = int(sending.at), sending.digests[0].hex()
    by_time = bool(sending.call.params.get("cl_ord_id"))  # which an earlier order of the same key may have had
    not_own = (note for note in notes if (note.get("at") != at if by_time else own not in note.get("of", ())))
    found = {txid for note in not_own for txid in note.get("txid", ())}
    for each in sendings:
        is_own = each is sending or (by_time and int(each.at) == at)
        if not is_own and each.answer.done() and (reply := each.answer.result()) is not None:
            found.update(txids_in(reply))
    return found


def rivals(sending: Sending, sendings: Iterable[Sending]) -> list[Sending]:
    """Return the other orders of the account of which it is not known yet what became of them."""
    account = sending.local.account
    unknown = {each for each in sendings if each.is_sent and not each.answer.done()}
    return [each for each in unknown if each is not sending and each.is_order and each.local.account == account]


def window(sending: Sending) -> Window:
    """Return when an order was opened that was sent then."""
    skew = _SKEW if sending.key.time.known else _UNKNOWN_CLOCK
    at, doubt = sending.sent_at, _UNKNOWN_CLOCK if sending.steady is None else 0.0
    return Window(at - skew, at + WITHOUT_DEADLINE.total_seconds() + skew, doubt)


async def pauses(sending: Sending, longest: float, *, at_once: bool) -> AsyncIterator[None]:
    """Yield when to look again: for so many seconds after the order was sent, and until its deadline is over."""
    if at_once:
        yield
    key = sending.key
    until = max(sending.sent_at + longest, (sending.deadline or 0.0) + MARGIN.total_seconds() + _SKEW)
    waited = 0.0
    for after in _LOOKS:
        left = until - key.time.now()
        if left <= 0:
            return
        pause = min(after - waited, left)
        waited += pause
        await asyncio.sleep(pause)
        yield


def note_of(sending: Sending, digests: Sequence[bytes], status: Status, reply: Reply) -> dict[str, Any] | None:
    """Return what is noted about a call that was answered: the answer if it was not received, else only the orders."""
    if status is Status.DELIVERED:
        return None  # its orders were noted when they were placed
    note: dict[str, Any] = {
        "of": [digest.hex() for digest in digests],
        "at": int(sending.at),
        "txid": txids_in(reply),
    }
    if status is Status.SENT or len(reply.body) > _LARGEST:
        return note if note["txid"] else None
    if sending.call.params.get("cl_ord_id"):
        note["cl_ord_id"] = sending.call.params["cl_ord_id"]
    return {
        **note,
        "status": reply.status,
        "headers": {name: reply.headers[name] for name in OF_GATEWAYS if name in reply.headers},
        "type": reply.content_type,
        "body": base64.b64encode(reply.body).decode(),
    }


def kept(notes: Sequence[Mapping[str, Any]], entry: Entry) -> Reply | None:
    """Return the answer to a call that nobody has received; None if it is not among the notes any more."""
    for note in reversed(notes):
        # Orders with the same cl_ord_id have the same digest, and other times.
        if entry.digest.hex() in note.get("of", ()) and note.get("at") == entry.at and "body" in note:
            try:
                headers = note.get("headers", {})  # notes of earlier versions have none
                return Reply(note["status"], note["type"], base64.b64decode(note["body"]), headers)
            except (KeyError, TypeError, binascii.Error):
                return None
    return None


def _may_be(order: Mapping[str, Any], sending: Sending) -> bool:
    """Return whether an order that Kraken lists may be this one."""
    return is_equal(order, sending.call.params) and opened(order, window(sending))


def _placed(txid: str, order: Mapping[str, Any]) -> Reply:
    """Return the answer that Kraken would have given."""
    described = {name: order["descr"][name] for name in ("order", "close") if order["descr"].get(name)}
    body = kraken_json(error=[], result={"descr": described, "txid": [txid]})
    explanation = "no answer came to this order; the gateway has asked Kraken, which has it"
    return Reply(200, JSON, body, not_answered("yes", explanation))
