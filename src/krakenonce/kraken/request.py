"""One request and its answer, without the network: what is signed and sent, and what the bytes that come back mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

from krakenonce._version import __version__
from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.key.answers import is_of_kraken
from krakenonce.key.funding import refuse_funding
from krakenonce.key.methods import look_at
from krakenonce.key.pair import Otp, wrong_pair
from krakenonce.key.parameters import checked
from krakenonce.kraken.http_status import error_of
from krakenonce.kraken.wire import FORM, JSON, decode_secret, encode_form, encode_json, nonce_of, sign

if TYPE_CHECKING:
    from krakenonce.errors import KrakenAPIError
    from krakenonce.key.counting import Place
    from krakenonce.kraken.wire import Secret


KRAKEN = "https://api.kraken.com"
_ZIP = b"PK"  # how a zip file begins
_SHOWN = 80  # characters of an answer that is not Kraken's JSON, shown in the message
_LARGEST = 10**20 - 1  # of 20 digits
_PLAIN = (str, int)  # of nearly all parameters
_NESTED = (Mapping, list, tuple)
_AGENT = f"krakenonce/{__version__}"


@dataclass(slots=True)
class Request:
    """What a transport sends: the path with its query string, and for a private call headers and body.

    Its repr shows neither headers nor body. It is no tuple, because error reports show the parts of a tuple.
    """

    verb: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def call(self) -> str:
        """The path without its parameters, for messages."""
        return self.path.partition("?")[0]


class Answer(NamedTuple):
    """An HTTP answer, unchanged. The case of a header's name makes no difference, if a transport has made it."""

    status: int
    content_type: str
    data: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Key:
    """An API key and its secret. The repr shows neither.

    Args:
        key: The API key.
        secret: Its secret, base64 as Kraken shows it.
        otp: The key's second factor, if it has one: a password, or what returns a new one for each call.
    """

    __slots__ = ("_otp", "_secret", "_text", "key")

    def __init__(self, key: str, secret: str, otp: Otp | None = None) -> None:
        self.key = key
        self._otp = otp
        self._text = secret
        self._secret: Secret | None = None

    def __repr__(self) -> str:
        return "Key(...)"

    def otp(self) -> dict[str, str]:
        """Return the parameter with the second factor; none if the key has none. Raises ConfigError without one."""
        if self._otp is None:
            return {}
        try:
            otp: object = self._otp() if callable(self._otp) else self._otp
        except Exception as error:  # StopIteration, too: it would end the call as if it had a result
            raise ConfigError(f"Not sent: the function given as otp has raised {type(error).__name__}.") from error
        if not isinstance(otp, str) or not otp:
            given = "empty" if otp == "" else f"of type {type(otp).__name__}"
            raise ConfigError(f"Not sent: the second factor (otp) must be text; it is {given}.")
        return {"otp": otp}

    def secret(self) -> Secret:
        """Return what signs. Raises ConfigError if key or secret cannot be used."""
        if self._secret is None:
            if not self.key or not self._text:
                raise ConfigError("A private call needs an API key and its secret.")
            if wrong := wrong_pair(self.key, self._text):
                raise ConfigError(f"{wrong} Nothing was sent.")
            # A line break inside would make the HTTP library quote the whole key in its error.
            if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
                raise ConfigError("The API key contains a character that no key has, such as a space or a line break.")
            self._secret = decode_secret(self._text)
        return self._secret


@dataclass(slots=True)
class PrivateCall:
    """One private call to make: the key's turn, a nonce, a signature, one request, one answer.

    Args:
        method: Kraken's name of the method.
        params: Its parameters.
        lifetime: Seconds from signing to an order's ``deadline``; None: the parameters are sent unchanged.
        has_turn: Whether the caller holds the turn and has taken a nonce, which is among the parameters.
        only: The place of the account's key with which alone the call may be made; None: any.
        urgent: Whether it goes before calls that wait, although its method is not urgent.
        is_question: Whether it is made within another call, and so does not wait for the rate limit.

    Attributes:
        key: The place of the key with which it is made, once it has that key's turn.
        key_name: That key's fingerprint.
        waits_for: The place of the key whose rate limit it has waited for, if it is to be made with that.
        asked_at: When it began to wait, in seconds since boot: an order that is cancelled after that is not sent.
        reply: Kraken's answer to a question.
    """

    method: str
    params: Mapping[str, Any] = field(repr=False)
    lifetime: float | None = None
    has_turn: bool = False
    only: int | None = None
    urgent: bool = False
    is_question: bool = False
    key: int | None = field(default=None, init=False)
    key_name: str = field(default="", init=False)
    waits_for: int | None = field(default=None, init=False)
    asked_at: float | None = field(default=None, init=False)
    reply: dict[str, Any] | None = field(default=None, init=False, repr=False)
    place: Place | None = field(default=None, init=False)  # in the rate limit
    refusal: KrakenAPIError | None = field(default=None, init=False)  # Kraken's error, if it answered with one
    deadline: datetime | None = field(default=None, init=False)  # the one that was signed last
    signed_at: datetime | None = field(default=None, init=False)

    def request(self, key: Key, nonce: object, now: float) -> Request:
        """Return the signed request.

        Args:
            key: What to sign with.
            nonce: The nonce; None if it is among the parameters.
            now: Seconds since 1970.

        Raises:
            ConfigError: No usable key, secret, nonce or parameters.
        """
        secret = key.secret()
        # What the caller has given replaces ours.
        fields = {"nonce": nonce, **({} if "otp" in self.params else key.otp()), **self.params}
        self.signed_at = datetime.fromtimestamp(now, UTC)
        if self.lifetime is not None:
            self.deadline = self.signed_at + timedelta(seconds=self.lifetime)
            fields["deadline"] = self.deadline.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        nested = False
        for value in fields.values():
            if type(value) not in _PLAIN and isinstance(value, _NESTED):
                nested = True
        body = (encode_json(fields) if nested else encode_form(fields)).encode()
        content_type = JSON if nested else FORM
        used = fields["nonce"]
        # It is known how an integer is written; any other nonce of a caller is read from the body.
        written = str(used) if type(used) is int and 0 <= used <= _LARGEST else nonce_of(body, content_type)
        if written is None:
            raise ConfigError("The nonce must be an integer of at most 20 digits.")
        path = f"/0/private/{checked(self.method)}"
        headers = {
            "User-Agent": _AGENT,
            "API-Key": key.key,
            "API-Sign": sign(path, written, body, secret),
            "Content-Type": content_type,
        }
        return Request("POST", path, headers, body)


@dataclass(frozen=True, slots=True)
class PublicCall:
    """One public call to make."""

    method: str
    params: Mapping[str, Any]

    def request(self) -> Request:
        """Return the request. Raises ConfigError if the parameters cannot be written."""
        query = f"?{encode_form(self.params)}" if self.params else ""
        return Request("GET", f"/0/public/{checked(self.method)}{query}", {"User-Agent": _AGENT}, None)


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause. If the caller has less time left than it needs, the answer is CallTimeout at once.

    Args:
        seconds: How long the pause is.
        needed: Seconds that are needed in all, if there are more pauses to come.
    """

    seconds: float
    needed: float = 0.0


@dataclass(slots=True)
class StateStep:
    """Something that is asked of the state, or noted there; its result is the answer.

    On a server it takes round trips, for which an event loop does not wait.

    Args:
        take: Does it.
    """

    take: Callable[[], Any]


Step: TypeAlias = PrivateCall | PublicCall | Sleep | StateStep
R = TypeVar("R")
# A procedure that yields one step after the other, and is sent Kraken's answer to each.
Steps: TypeAlias = Generator[Step, Any, R]


def host_of(base_url: object) -> str:
    """Return host and port in a base URL, for messages. Raises ConfigError if it is not an http or https address."""
    url = base_url if isinstance(base_url, str) else ""
    if "@" in url:
        raise ConfigError(
            "The base URL must not contain a user name or a password: write it like https://api.kraken.com."
        )
    try:
        address = urlsplit(url)
        has_host = bool(address.hostname) and address.port != 0  # raises if the port is not an integer
        fine = has_host and address.scheme in ("http", "https") and bool(re.fullmatch(r"[^\s?#]+", url))
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(f"The base URL must look like https://api.kraken.com, not {base_url!r}.")
    refuse_funding(url)
    return address.netloc


def not_sent(call: str, host: str, reason: str) -> RequestNotSent:
    """Return the error for a call that found no connection."""
    return RequestNotSent(f"{call} at {host}: no connection ({reason}). Nothing was sent. You may repeat the call.")


def no_answer(call: str, host: str) -> OutcomeUnknown:
    """Return the error for a call that was sent and got no answer."""
    look = look_at(call.removeprefix("/0/private/"))
    return OutcomeUnknown(
        f"{call} at {host}: sent, but no answer came. It may have been executed: {look} before you repeat it."
    )


def read_answer(request: Request, host: str, received: Answer) -> dict[str, Any]:
    """Return Kraken's answer, with fractions as Decimal; the result of RetrieveExport is the bytes of a zip file.

    A refusal in Kraken's form is one with any status 4xx, too.

    Raises:
        RateLimited: Status 429; it may have been executed.
        AccessBlocked: A challenge page, or another status 4xx; it was not executed.
        OutcomeUnknown: Any other status than 200, or not the JSON object that Kraken's API answers with.
    """
    status, data = received.status, received.data
    key = request.headers.get("API-Key")  # an error, and an error page, may quote it
    try:
        decoder = _DECODER if _has_no_error(data) else _decoder(key)
        answer = decoder.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    except (ValueError, ArithmeticError, RecursionError):  # an exponent may be too large for a Decimal
        answer = None
    if isinstance(answer, dict) and (status == 200 or (400 <= status < 500 and is_of_kraken(answer))):
        return answer
    # Kraken's API specification: RetrieveExport answers with the file, and with JSON if it has failed.
    if answer is None and status == 200 and request.call.endswith("/RetrieveExport") and _is_file(received):
        return {"error": [], "result": data}
    shown = " ".join(data.decode("utf-8", "replace").split())
    shown = shown.replace(key, "(key)")[:_SHOWN] if key else shown[:_SHOWN]
    raise error_of(request.call, host, received, shown)


def _is_file(received: Answer) -> bool:
    kind = received.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("application/octet-stream", "application/zip") and received.data.startswith(_ZIP)


def _without(key: str, part: dict[str, Any]) -> dict[str, Any]:
    """Remove the key from an error that quotes it: the error of the call, or of one order of a batch."""
    quoting = part.get("error")
    if quoting and key in str(quoting):
        strings = [str(each).replace(key, "(key)") for each in (quoting if isinstance(quoting, list) else [quoting])]
        part["error"] = strings if isinstance(quoting, list) else strings[0]
    return part


def _no_number(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _decoder(key: str | None) -> json.JSONDecoder:
    hook = partial(_without, key) if key else None
    return json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number, object_hook=hook)


def _has_no_error(data: bytes) -> bool:
    """Whether there is surely no error in an answer that could quote the key: only the empty list of all answers."""
    return b'"error":[]' in data and data.count(b"error") == 1 and b"\\u" not in data


_DECODER = _decoder(None)
