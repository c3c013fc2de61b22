"""One private call that is over: what the audit log and the status say of it. No I/O.

It is kept as it came, and read only when somebody looks, or in the audit log's thread: that costs the call nothing.
"""

from __future__ import annotations

import calendar
import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.gateway.refusals import PAGE, reason_of
from krakenonce.gateway.replies import UNKNOWN_OUTCOME, Reply
from krakenonce.gateway.sending import txids_in
from krakenonce.gateway.upstream import refusal_of
from krakenonce.key.methods import orders_in
from krakenonce.kraken.request import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


EXECUTED, REFUSED, NOT_SENT, UNKNOWN = "executed", "refused", "not_sent", "unknown"
OUTCOMES = (EXECUTED, REFUSED, NOT_SENT, UNKNOWN)
NONCE = "nonce"  # the method of a call that asks the gateway for a nonce
_FINE = b'{"error":[]'  # how an answer with a result begins
_KEPT = 1024  # bytes of the answer to a call that only reads
_text = json.encoder.encode_basestring_ascii
_MOST_IDS = 50  # Kraken's largest batch has fewer orders
_LONGEST = 64  # characters of a method and of an id; a client writes them


class CallRow(NamedTuple):
    """One call, as lists of the last calls show it.

    Args:
        time: When it was answered, in seconds since 1970.
        local_key: The name of the local key.
        account: The account.
        method: Kraken's name of the method.
        outcome: ``executed``, ``refused``, ``not_sent`` or ``unknown``.
        reason: Why it was refused or not sent, in a word; else empty.
        waited: Seconds that it waited in the gateway; None: it was not sent, or that is not known.
        took: Seconds from sending to the end of Kraken's answer; None as for *waited*.
    """

    time: float
    local_key: str
    account: str
    method: str
    outcome: str
    reason: str
    waited: float | None
    took: float | None


class Answered(NamedTuple):
    """One call that is over.

    Args:
        time: When it was answered, in seconds since 1970.
        local_key: The name of the local key.
        account: The account.
        method: Kraken's name of the method.
        params: The parameters of a call that changes something; None: it only reads, or was not admitted.
        reply: The answer. If the call only reads, a long result is not kept.
    """

    time: float
    local_key: str
    account: str
    method: str
    params: Mapping[str, Any] | None
    reply: Reply

    @property
    def row(self) -> CallRow:
        """It, as lists show it."""
        headers = self.reply.headers
        waited, took = headers.get("X-Krakenonce-Waited"), headers.get("X-Krakenonce-Upstream")
        return CallRow(
            self.time,
            self.local_key,
            self.account,
            self.method[:_LONGEST],
            *_outcome(self.reply),
            None if waited is None else float(waited),
            None if took is None else float(took),
        )

    @property
    def line(self) -> str:
        """It, as a line of JSON with its end. No key, no secret, and nothing of an order but its ids is in it."""
        reply, get = self.reply, self.reply.headers.get
        outcome, reason = _outcome(reply)
        nonce = get("X-Krakenonce-Nonce") or (_issued(reply) if self.method == NONCE and outcome == EXECUTED else None)
        waited, repeat = get("X-Krakenonce-Waited"), get("X-Krakenonce-Repeat")
        return (
            f'{{"time":"{_iso(self.time)}","local_key":"{self.local_key}","account":{_text(self.account)},"method":'
            f'{_text(self.method[:_LONGEST])},"outcome":"{outcome}"'
            + (f',"reason":"{reason}"' if reason else "")
            + (f',"nonce":"{nonce}"' if nonce else "")
            + ("" if self.params is None else "".join(self._ids(self.params)))
            + (f',"repeat_after":{repeat}' if repeat else "")
            + (f',"waited":{waited},"took":{get("X-Krakenonce-Upstream")}' if waited else "")
            + "}\n"
        )

    def _ids(self, params: Mapping[str, Any]) -> Iterable[str]:
        orders = [each for each in orders_in(self.method, params) if isinstance(each, dict)]
        several = params.get("cl_ord_ids")
        own = [*(each.get("cl_ord_id") for each in orders), *(several if isinstance(several, list) else ())]
        for name, ids in (
            ("cl_ord_id", own),
            ("txid", [*(each.get("txid") for each in orders), *txids_in(self.reply)]),
        ):
            found = list(dict.fromkeys(str(each)[:_LONGEST] for each in ids if each))[:_MOST_IDS]
            if found:
                yield f',"{name}":{json.dumps(found, separators=(",", ":"))}'


def answered(local_key: str, account: str, method: str, params: Mapping[str, Any] | None, reply: Reply) -> Answered:
    """Return a call that is over now.

    Args:
        local_key: The name of the local key.
        account: The account.
        method: Kraken's name of the method.
        params: The parameters of a call that changes something; else None.
        reply: The answer.
    """
    if params is None and len(reply.body) > _KEPT:
        reply = reply._replace(body=b"" if reply.body.startswith(_FINE) else reply.body[:_KEPT])
    return Answered(time.time(), local_key, account, method, params, reply)


def row_in(line: bytes) -> CallRow | None:
    """Return the call of one line of an audit log; None if the line is damaged."""
    try:
        its = json.loads(line)
        seconds, _, part = its["time"].rstrip("Z").partition(".")
        at = _seconds(seconds) + float(f"0.{part or 0}")
        texts = [str(its[name]) for name in ("local_key", "account", "method", "outcome")]
        waited, took = (None if its.get(name) is None else float(its[name]) for name in ("waited", "took"))
        return CallRow(at, texts[0], texts[1], texts[2], texts[3], str(its.get("reason", "")), waited, took)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _outcome(reply: Reply) -> tuple[str, str]:
    """Return what became of a call, and why, in a word each."""
    if reply.reason:
        return (UNKNOWN, "") if reply.reason == UNKNOWN_OUTCOME else (NOT_SENT, reply.reason)
    if reply.body.startswith(_FINE) or (reply.status == 200 and not reply.body):
        return EXECUTED, ""
    refusal = refusal_of(Answer(reply.status, reply.content_type, reply.body, {}))
    if refusal is not None:
        return REFUSED, reason_of(refusal)
    return (EXECUTED, "") if reply.status == 200 else (REFUSED, PAGE)


def _iso(at: float) -> str:
    milliseconds = round(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _seconds(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def _issued(reply: Reply) -> str:
    """Return the nonce that the gateway has issued to a program of its own."""
    return str(json.loads(reply.body)["result"]["nonce"])
