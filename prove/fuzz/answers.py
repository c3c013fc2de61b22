"""Answers: any bytes are Kraken's result, or one error of ours that claims no more than is certain."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from krakenonce import errors
from krakenonce.errors import KrakenAPIError, KrakenonceError, OutcomeUnknown
from krakenonce.key import answers as reading
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.kraken import calling, orders, queries
from krakenonce.kraken import request as wire
from krakenonce.kraken.kraken_time import KrakenTime
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from prove.fuzz.targets import pure, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.request import Steps

__all__ = ["ANSWERS", "TARGETS", "Reply", "check_error"]

KEY = "the/whole/API+key"
REQUEST = wire.Request("POST", "/0/private/AddOrder?x=1", {"API-Key": KEY}, b"nonce=1")
NOW = 1_700_000_000.0
MOST_STEPS = 12  # of a procedure that would ask for ever

# From Kraken's page on errors: what proves that nothing was executed, and what does not.
REFUSED = [
    *("EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Permission denied", "EGeneral:Invalid arguments:price"),
    *("EOrder:Insufficient funds", "EOrder:Invalid price", "EGeneral:Unknown Method", "EService:Deadline elapsed"),
    *(
        "EAPI:Invalid nonce",
        "EAPI:Rate limit exceeded",
        "EGeneral:Temporary lockout",
        "EService: Throttled: 1700000009",
    ),
]
# What proves it by its meaning, though nobody has seen these very words.
MEANT = re.compile(
    r"E[^:]*:(rate limit exceeded|too many requests|permission denied|feature disabled|invalid ([^:]* )?argument[^:]*)"
    r"|EAPI:[^:]*otp[^:]*|EAuth:account [^:]*|(EQuery|EFunding):(invalid|unknown) [^:]*|EQuery:[^:]* asset[^:]*"
    r"|EOrder:(insufficient |post only order|cannot open )[^:]*|EOrder:[^:]* (minimum not met|limit exceeded)"
    r"|EService:market in [^:]* mode",
    re.IGNORECASE,
)
OPEN = ["EService:Unavailable", "EService:Timeout", "EGeneral:Internal error", "EOrder:Something new", "", "E", "error"]

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_PARTS = st.sampled_from(
    [*("txid", "descr", "order", "orders", "open", "closed", "count", "trades", "ledger", "token", "expires", "error"),
     *("nonce", "permissions", "nonceWindow", "unixtime", "status", "amend_id", "vol", "opentm", "cl_ord_id")]
)  # fmt: skip
_RESULTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**11)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1.5", "O"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_PARTS | st.text(max_size=3), inner, max_size=6),
    max_leaves=8,
)
_ERRORS = st.lists(st.sampled_from([*REFUSED, *OPEN, "WGeneral:Something"]) | st.text(), max_size=3)


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    content_type: str
    data: bytes

    def read(self) -> Any:
        """Return what an answer of Kraken's holds, None if it is none."""
        try:
            read = json.loads(self.data, parse_float=Decimal, parse_constant=_no_json)
        except (ValueError, ArithmeticError, RecursionError):
            return None
        is_answer = isinstance(read, dict) and (self.status == 200 or (self.is_4xx() and _is_refusal(read)))
        return read if is_answer else None

    def is_4xx(self) -> bool:
        """Whether its status says that the call was refused; those about time are not drawn."""
        return 400 <= self.status < 500

    def is_blocked(self) -> bool:
        """Whether what is in front of Kraken has refused the call."""
        return self.is_4xx() and self.read() is None


def _is_refusal(read: dict[str, Any]) -> bool:
    return any(re.match("E[A-Z][A-Za-z]*:", text) for text in _errors_in(read))


def _is_meant(string: str) -> bool:
    return MEANT.fullmatch(":".join(string.split(":")[:2])) is not None


def _no_json(name: str) -> None:
    raise ValueError(name)


def _envelope(strings: object, result: object) -> dict[str, object]:
    return {"error": strings, "result": result}


_ENVELOPES = (
    st.builds(_envelope, _ERRORS | st.just([]) | _JSON, _RESULTS)
    | st.builds(lambda result: {"error": [], "result": result}, _RESULTS)
    | st.builds(lambda strings: {"error": strings}, _ERRORS)
    | st.builds(lambda result: {"result": result}, _RESULTS)
    | _JSON
)
_HTML = f"<html>\n<head><title>502 Bad Gateway</title></head>{KEY} <body>Balance</body></html>".encode()


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    text = json.dumps(draw(_ENVELOPES)).encode(draw(st.sampled_from(["utf-8"] * 6 + ["utf-16", "utf-8-sig"])))
    if draw(st.integers(0, 3)):
        return text
    at = draw(st.integers(0, len(text)))
    more = st.sampled_from(
        [b"1e9999999999999999999", b"NaN", b"9" * 5000, b"[" * 20_000, KEY.encode(), _HTML, b"\x1b[2J"]
    )
    return text[:at] + draw(st.binary(max_size=3) | more) + text[at + draw(st.integers(0, 3)) :]


ANSWERS = st.builds(
    Reply,
    st.sampled_from([200] * 8 + [201, 301, 400, 401, 403, 404, 429, 500, 502, 504, 520, 599]),
    st.sampled_from(["application/json", "text/html", "", "application/octet-stream"]),
    _bytes() | _bytes() | _bytes() | st.binary() | st.just(_HTML),
)


def check_answer(reply: Reply) -> None:
    """An answer is a result only if Kraken gave one and no error; else it is one error with the right verdict."""
    read = reply.read()
    try:
        answer = wire.read_answer(REQUEST, "fake", wire.Answer(reply.status, reply.content_type, reply.data))
        result = reading.result_of(answer, NOW)
    except KrakenonceError as error:
        check_error(error)
        if reply.is_blocked():
            limited = (errors.RateLimited, "unknown")
            told = limited if reply.status == 429 else (errors.AccessBlocked, "no")
            require((type(error), error.may_have_executed) == told, "refused, and not told so", reply, error)
            return
        require(
            isinstance(error, OutcomeUnknown | KrakenAPIError), "an answer was seen, and the error denies it", error
        )
        given = [] if read is None else _errors_in(read)
        require(isinstance(error, KrakenAPIError) == bool(given), "Kraken gave an error, or did not", reply, error)
        certain = bool(given) and all(each in REFUSED for each in given)
        proven = bool(given) and all(each in REFUSED or _is_meant(each) for each in given)
        require(
            proven or error.may_have_executed == "unknown", "nothing proves it, and the error says so", reply, error
        )
        require(not certain or error.may_have_executed == "no", "Kraken refused, and the error doubts it", reply, error)
        require(not given or set(given) <= set(error.errors), "Kraken's error strings are missing", reply, error)  # type: ignore[attr-defined]
    else:
        require(read is not None and isinstance(read.get("error"), list), "a result without Kraken's form", reply)
        require(not _errors_in(read), "a result beside an error", reply)
        require(_same(result, read["result"]) and result is not None, "another result", reply, result)


def check_error(error: KrakenonceError) -> None:
    """A message is one printable line and contains no key."""
    message = str(error)
    require(message.isprintable(), "the message has control characters", message)
    require(KEY not in message, "the message contains the API key", message)
    require(len(message) < 2000, "the message is too long", message)
    require(error.may_have_executed in ("yes", "no", "unknown"), "no verdict", error)


_CLOCK = ManualClock()
_TIME = KrakenTime(lambda: NOW, lambda: NOW)
_TIME.note_seconds(NOW, NOW)
_MANAGER = NonceManager("memory:", clock=_CLOCK)


def check_call(given: tuple[str, list[Reply]]) -> None:
    """Any answers lead to a result or one error; an order that may have been placed can be looked for."""
    name, replies = given
    _CLOCK.pass_time(100_000)  # every counter is empty by then, and no lockout lasts
    calls = calling.Calls([ApiKey(_MANAGER, KEY, TIERS["starter"])], 60.0, _TIME)
    try:
        _run(PROCEDURES[name](calls), replies)
    except KrakenonceError as error:
        check_error(error)
        if name in PLACING:
            refusals = [_errors_in(reply.read()) if reply.read() is not None else None for reply in replies]
            proven = any(each and all(one in REFUSED or _is_meant(one) for one in each) for each in refusals)
            proven = proven or any(reply.is_blocked() for reply in replies)
            unknown = error.may_have_executed != "no"
            require(proven or unknown, "an order may have been placed, and the error denies it", error)
            if isinstance(error, errors.KrakenError) and unknown:
                require(error.order is not None, "an order that may have been placed cannot be looked for", error)


def _run(steps: Steps[Any], replies: list[Reply]) -> None:
    """Answer every step with the next of the replies, and then with the last again and again."""
    try:
        step, requests = next(steps), 0
        for _ in range(MOST_STEPS):
            if isinstance(step, wire.Sleep):
                step = steps.send(None)
                continue
            if isinstance(step, wire.StateStep):
                step = steps.send(step.take())
                continue
            if isinstance(step, wire.PrivateCall):
                step.request(_SIGNER, 1, NOW)
            reply = replies[min(requests, len(replies) - 1)]
            requests += 1
            try:
                answer = wire.read_answer(REQUEST, "fake", wire.Answer(reply.status, reply.content_type, reply.data))
            except KrakenonceError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
        steps.close()
    except StopIteration:
        pass


def _errors_in(read: dict[str, Any]) -> list[str]:
    """Kraken's errors in an answer, which must not quote the key; warnings are none."""
    listed = read.get("error")
    strings = listed if isinstance(listed, list) else [listed] if listed else []
    return [text for each in strings if not (text := str(each).replace(KEY, "(key)")).startswith("W")]


def _same(result: Any, read: Any) -> bool:
    match result:
        case dict():
            return result.keys() == read.keys() and all(_same(result[name], read[name]) for name in result)
        case list():
            return len(result) == len(read) and all(map(_same, result, read))
        case Decimal():
            return bool(result == read)
    return type(result) is type(read) and bool(result == read)


_SIGNER = wire.Key("key", "c2VjcmV0")
_ORDER = {"type": "buy", "ordertype": "limit", "price": "1", "volume": "2"}
PLACING = ("AddOrder", "add_order", "add_orders")
PROCEDURES: dict[str, Callable[[calling.Calls], Steps[Any]]] = {
    "AddOrder": lambda calls: calls.private("AddOrder", {"pair": "XBTUSD", **_ORDER}),
    "AmendOrder": lambda calls: calls.private("AmendOrder", {"txid": "O", "order_qty": "1"}),
    "WalletTransfer": lambda calls: calls.private("WalletTransfer", {"amount": "1"}),
    "once": lambda calls: calls.once("AddOrder", {"pair": "XBTUSD", **_ORDER}),
    "add_order": lambda calls: orders.add_order(calls, "XBTUSD", "buy", "1", "2"),
    "add_orders": lambda calls: orders.add_orders(calls, "XBTUSD", [_ORDER, _ORDER]),
    "amend_order": lambda calls: orders.amend_order(calls, "O", order_qty="1"),
    "cancel_order": lambda calls: orders.cancel_order(calls, "O"),
    "cancel_orders": lambda calls: orders.cancel_orders(calls, ["O"]),
    "cancel_all": orders.cancel_all,
    "cancel_all_after": lambda calls: orders.cancel_all_after(calls, 60),
    "balances": queries.balances,
    "extended_balances": queries.extended_balances,
    "trade_balance": queries.trade_balance,
    "open_orders": queries.open_orders,
    "closed_orders": queries.closed_orders,
    "query_orders": lambda calls: queries.query_orders(calls, ["O"]),
    "trade_page": lambda calls: queries.trade_page(calls, None, NOW, 0),
    "ledger_page": lambda calls: queries.ledger_page(calls, None, NOW, 0),
    "websocket_token": queries.websocket_token,
    "api_key_info": queries.api_key_info,
    "server_time": queries.server_time,
    "system_status": queries.system_status,
    "system_advisories": queries.system_advisories,
}
_SHAPED = st.builds(
    lambda result: Reply(200, "application/json", json.dumps({"error": [], "result": result}).encode()),
    st.dictionaries(_PARTS, _RESULTS, max_size=6),
)

TARGETS = [
    pure("answers", ANSWERS, check_answer),
    pure(
        "calls",
        st.tuples(st.sampled_from([*PROCEDURES, *PLACING * 5]), st.lists(_SHAPED | ANSWERS, min_size=1, max_size=3)),
        check_call,
    ),
]
