"""The fake Kraken: whatever it is sent, it answers in Kraken's form, and the next call is answered as before."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
from typing import TYPE_CHECKING, Any

from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import strategies as st

from krakenonce.kraken import wire
from krakenonce.testing import FakeKraken, FakeKrakenServer
from krakenonce.testing.control import control
from krakenonce.testing.documented import DOCUMENTED_PRIVATE
from krakenonce.testing.private import PRIVATE
from krakenonce.testing.public import PUBLIC
from prove.fuzz.requests import own_signature
from prove.fuzz.targets import Target, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from krakenonce.testing import FakeAccount
    from krakenonce.testing.documented.notation import Parameter

__all__ = ["TARGETS"]

NOW = 1_700_000_000.0
MAX_WAIT = 10.0  # seconds for an answer
SECRET = b"s" * 64

_ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1.25", "price": "37500"}
_NAMES = st.sampled_from(
    [*_ORDER, *("txid", "cl_ord_id", "userref", "oflags", "timeinforce", "expiretm", "starttm", "deadline", "close"),
     *("start", "end", "ofs", "asset", "id", "key", "amount", "refid", "from", "to", "orders", "cl_ord_ids"),
     *("order_qty", "limit_price", "validate", "trades", "otp", "since", "interval", "count", "method", "new", "nonce"),
     *("close[ordertype]", "close[", "closetime", "displayvol", "price2", "trigger", "leverage", "post_only")]
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(["1", "-1", "1e400", "NaN", "market", "+5", "XBT,USD", "2023-11-14T22:13Z", "#5%", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_METHODS = st.sampled_from([*PRIVATE, *PRIVATE, "Guess"]) | st.text()
_PARAMS = st.dictionaries(_NAMES | st.text(), _VALUES, max_size=5)
_RIGHT = {"decimal": "1.25", "integer": "60", "moment": "+60", "texts": "OAAAAA-BBBBB-CCCCCC"}  # by kind
_NAMED = {**_ORDER, "asset": "XBT", "key": "fake-key", "method": "Bitcoin"}  # by name


def _call(
    account: FakeAccount, nonce: int, method: str, params: dict[str, Any], *, as_json: bool
) -> tuple[str, dict[str, str], bytes]:
    """Return path, headers and body of a private call as a client of Kraken's would send it, whatever it holds."""
    fields = {"nonce": str(nonce), **params}
    try:
        body = json.dumps(fields).encode() if as_json else wire.encode_form(fields).encode()
    except (ValueError, UnicodeError):
        body = json.dumps(fields).encode()
        as_json = True
    path = f"/0/private/{method}".encode("utf-8", "surrogatepass")
    signed_with = str(fields["nonce"]).encode("utf-8", "surrogatepass")
    kind = wire.JSON if as_json else wire.FORM
    headers = {"API-Key": account.key, "API-Sign": own_signature(path, signed_with, body, SECRET), "Content-Type": kind}
    return path.decode("utf-8", "surrogateescape"), headers, body


def _usual(its: Iterable[Parameter]) -> dict[str, Any]:
    """Return what a call must have, so that not every call is refused for what is missing."""
    fields: dict[str, Any] = {}
    for each in its:
        if each.is_required and each.fields:
            fields[each.name] = [_usual(each.fields)] * 2
        elif each.is_required:
            right = each.choices[0] if each.choices else _RIGHT.get(each.kind, "x")
            fields[each.name] = _NAMED.get(each.name, right)
    return fields


class _Fake:
    """A fake Kraken with an open order, and what every answer of it has to be."""

    def __init__(self) -> None:
        self.kraken = FakeKraken()
        self.account = self.kraken.add_account("fuzz", "key", "c3Nz" * 21 + "cw==", {"ZUSD": "1000000", "XXBT": "10"})
        self.now = NOW
        self.ask("AddOrder", **_ORDER)

    def ask(self, method: str, **params: object) -> Any:
        """Return the result of a valid call."""
        call = _call(self.account, self.account.last_nonce + 1, method, params, as_json=False)
        reply = self.kraken.answer(*call, self.now)
        require(reply.get("error") == [], "a valid call is refused", method, reply)
        return reply["result"]

    def is_well(self) -> None:
        """Raise Broken unless the usual calls are answered."""
        if self.account.last_nonce < 2**64 - 10:
            for method in ("Balance", "OpenOrders", "ClosedOrders", "TradesHistory", "Ledgers"):
                json.dumps(self.ask(method))
        for method in ("Time", "Ticker", "SystemStatus"):
            reply = self.kraken.answer(f"/0/public/{method}", {}, b"", self.now)
            require(reply["error"] == [], "a public call is refused", method, reply)


def _require_envelope(reply: Any) -> None:
    require(isinstance(reply, dict) and isinstance(reply.get("error"), list), "not Kraken's form", reply)
    require(all(isinstance(each, str) and each for each in reply["error"]), "an error that is no text", reply)
    require(set(reply) == ({"error"} if reply["error"] else {"error", "result"}), "not Kraken's form", reply)
    json.dumps(reply, allow_nan=False)


@contextlib.contextmanager
def _calls() -> Iterator[Callable[[Any], None]]:
    """Signed calls with any parameters, and the same after a byte of them was damaged."""
    fake = _Fake()

    def check(given: tuple[str, dict[str, Any], bool, bool, int, float]) -> None:
        method, params, as_json, usual, damage, later = given
        fake.now += later
        fields = params
        if usual and method in DOCUMENTED_PRIVATE:  # and nothing that it does not have
            its = DOCUMENTED_PRIVATE[method].parameters
            fields = {**_usual(its.values()), **{name: value for name, value in params.items() if name in its}}
        if "nonce" in fields and damage % 3:
            del fields["nonce"]
        path, headers, body = _call(fake.account, fake.account.last_nonce + 1, method, fields, as_json=as_json)
        if damage % 4 == 0 and body:
            body = body[: damage % len(body)] + bytes([damage % 256]) + body[damage % len(body) + 1 :]
        _require_envelope(fake.kraken.answer(path, headers, body, fake.now))
        fake.is_well()

    yield check


@contextlib.contextmanager
def _anything() -> Iterator[Callable[[Any], None]]:
    """Any path, headers and body; public calls and the fake's own paths among them."""
    fake = _Fake()

    def check(given: tuple[str, dict[str, str], bytes]) -> None:
        path, headers, body = given
        _require_envelope(fake.kraken.answer(path, headers, body, fake.now))
        fake.is_well()
        status, answer = control(FakeKraken(), "POST", path.replace("/0/public", "/fake"), body)
        require(status in (200, 400, 404) and json.dumps(answer), "no answer of the fake's own paths", status, answer)

    yield check


@contextlib.contextmanager
def _server() -> Iterator[Callable[[Any], None]]:
    """Bytes over HTTP: answered with a status other than 5xx or cut off; nothing is logged as a fault."""
    fake, faults = _Fake(), _Faults()
    for name in ("asyncio", "aiohttp"):
        logging.getLogger(name).addHandler(faults)
    try:
        with FakeKrakenServer(fake.kraken) as server:
            address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            keeping = http.client.HTTPConnection(*address, timeout=MAX_WAIT)

            def check(given: bytes | tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]) -> None:
                faults.seen.clear()
                sent = given if isinstance(given, bytes) else _as_http(*given)
                _check_response(_sent(address, sent, at_once=isinstance(given, bytes)), sent)
                call = _call(fake.account, fake.account.last_nonce + 1, "Balance", {}, as_json=False)
                keeping.request("POST", call[0], body=call[2], headers=call[1])
                reply = json.loads(keeping.getresponse().read())
                require(reply.get("error") == [], "a valid call is refused afterwards", sent, reply)
                require(not faults.seen, "the server logged a fault", sent, faults.seen)

            try:
                yield check
            finally:
                keeping.close()
    finally:
        for name in ("asyncio", "aiohttp"):
            logging.getLogger(name).removeHandler(faults)


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info and record.exc_info[0]
        if not (kind and issubclass(kind, HttpProcessingError)):  # bytes that are no HTTP are no fault of the server
            self.seen.append(f"{record.getMessage()} ({kind})")


def _as_http(verb: bytes, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (verb, path), b"Host: fake", b"Connection: close", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers)]) + b"\r\n\r\n" + body


def _sent(address: tuple[str, int], request: bytes, *, at_once: bool) -> bytes:
    """Send bytes and return all that comes back; *at_once*: say that no more will come."""
    received = []
    with socket.create_connection(address, MAX_WAIT) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request)
        if at_once:
            connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            received.append(piece)
    return b"".join(received)


def _check_response(response: bytes, sent: bytes) -> None:
    require(b"Traceback" not in response, "a traceback was sent", sent, response)
    if not response:
        return
    head, _, body = response.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    require(parts[0].startswith(b"HTTP/1.") and b"100" <= parts[1] < b"500", "no proper status", sent, response)
    if parts[1] == b"200" and sent.partition(b" ")[2].startswith(b"/0/") and response.count(b"HTTP/1.") == 1:
        _require_envelope(json.loads(body))


_HEADER_VALUES = st.binary(max_size=20).map(lambda value: bytes(byte for byte in value if byte > 31 and byte != 127))
_HEADERS = st.lists(
    st.tuples(st.sampled_from([b"API-Key", b"API-Sign", b"Content-Type", b"X-Other", b"Cookie"]), _HEADER_VALUES)
    | st.just((b"Content-Type", wire.JSON.encode()))
    | st.just((b"API-Key", b"key")),
    max_size=4,
)
_WIRE_PATHS = st.sampled_from(
    [b"/0/private/Balance", b"/0/private/AddOrder?x=%ff", b"/0/public/Ticker", b"/fake/arrivals"]
) | (st.binary(max_size=20).map(lambda path: b"/0/private/" + bytes(byte for byte in path if byte > 32)))
_BODIES = st.binary() | _PARAMS.map(lambda params: json.dumps({"nonce": 1, **params}).encode())
_RAW = st.lists(
    st.binary(max_size=10) | st.sampled_from([b"POST /0/private/Balance HTTP/1.1\r\n", b"\r\n"])
    | st.sampled_from([b"Content-Length: 5\r\n", b"5\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n"])
    | st.just(b"Transfer-Encoding: chunked\r\n"),
    max_size=8,
).map(b"".join)  # fmt: skip
_TEXT_HEADERS = st.dictionaries(st.sampled_from(["API-Key", "API-Sign", "Content-Type"]), st.text() | st.just("key"))
_TEXT_PATHS = st.text() | st.sampled_from([f"/0/public/{name}?" for name in PUBLIC]).flatmap(
    lambda path: st.text().map(lambda query: path + query)
)

TARGETS = [
    Target(
        "calls of the fake",
        st.tuples(_METHODS, _PARAMS, st.booleans(), st.booleans(), st.integers(0, 10**6), st.floats(0, 100)),
        _calls,
    ),
    Target("requests to the fake", st.tuples(_TEXT_PATHS, _TEXT_HEADERS, _BODIES), _anything),
    Target(
        "requests over HTTP",
        st.tuples(st.sampled_from([b"POST", b"POST", b"GET", b"PUT", b"X"]), _WIRE_PATHS, _HEADERS, _BODIES) | _RAW,
        _server,
        batch=10,
    ),
]
