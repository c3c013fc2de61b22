"""One request and its answer, without the network: what is signed and sent, and what the bytes that come back mean."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

from krakenonce._version import __version__
from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.kraken.wire import FORM, JSON, decode_secret, encode_form, encode_json, nonce_of, sign

if TYPE_CHECKING:
    from krakenonce.errors import KrakenAPIError
    from krakenonce.key.limiter import Place

__all__ = [
    "KRAKEN",
    "Answer",
    "Key",
    "PrivateCall",
    "PublicCall",
    "Request",
    "Sleep",
    "Step",
    "Steps",
    "TimeLeft",
    "host_of",
    "no_answer",
    "not_sent",
    "read_answer",
]

KRAKEN = "https://api.kraken.com"
_SHOWN = 80  # characters of an answer that is not Kraken's JSON, shown in the message
# Kraken's names, Earn/Strategies among them, and what custody calls have behind them.
_METHOD = re.compile(r"[A-Za-z0-9]+(/[A-Za-z0-9]+)?(\?[!-~]*)?")
_LARGEST = 10**20 - 1  # of 20 digits
_AGENT = f"krakenonce/{__version__}"


class Request(NamedTuple):
    """What a transport sends: the path with its query string, and for a private call headers and body."""

    verb: str
    path: str
    headers: dict[str, str]
    body: bytes | None

    @property
    def call(self) -> str:
        """The path without its parameters, for messages."""
        return self.path.partition("?")[0]


class Answer(NamedTuple):
    """What came back over HTTP, as it came."""

    status: int
    content_type: str
    data: bytes


class Key:
    """An API key that can sign. Its repr tells neither of the two.

    Args:
        key: The API key.
        secret: Its secret, base64 as Kraken shows it.
    """

    __slots__ = ("_secret", "_text", "key")

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self._text = secret
        self._secret: bytes | None = None

    def __repr__(self) -> str:
        return "Key(...)"

    def secret(self) -> bytes:
        """Return the bytes to sign with. Raises ConfigError if key or secret cannot be used."""
        if self._secret is None:
            if not self.key or not self._text:
                raise ConfigError("A private call needs an API key and its secret.")
            # A line break inside would make the HTTP library name the whole key in its complaint.
            if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
                raise ConfigError("The API key holds a character that no key has, such as a blank or a line break.")
            self._secret = decode_secret(self._text)
        return self._secret


@dataclass(slots=True)
class PrivateCall:
    """One private call to make: the key's turn, a number, a signature, one request, one answer.

    Args:
        method: Kraken's name for it.
        params: Its parameters.
        lifetime: Seconds after signing at which an order's ``deadline`` is; None: the parameters go as they are.
        has_turn: Whether the caller has taken the turn and a nonce, which is among the parameters.
    """

    method: str
    params: Mapping[str, Any]
    lifetime: float | None = None
    has_turn: bool = False
    place: Place | None = field(default=None, init=False)  # in Kraken's limits
    refusal: KrakenAPIError | None = field(default=None, init=False)  # Kraken's answer, if it was one
    deadline: datetime | None = field(default=None, init=False)  # the one that was signed last
    signed_at: datetime | None = field(default=None, init=False)

    def request(self, key: Key, nonce: object, now: float) -> Request:
        """Return the signed request.

        Args:
            key: What to sign with.
            nonce: Its number.
            now: Seconds since 1970.

        Raises:
            ConfigError: No usable key, secret, number or parameters.
        """
        secret = key.secret()
        fields = {"nonce": nonce, **self.params}  # a number that the caller has taken goes first
        self.signed_at = datetime.fromtimestamp(now, UTC)
        if self.lifetime is not None:
            self.deadline = self.signed_at + timedelta(seconds=self.lifetime)
            fields["deadline"] = self.deadline.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        nested = any(isinstance(value, Mapping | list | tuple) for value in fields.values())
        body = (encode_json(fields) if nested else encode_form(fields)).encode()
        content_type = JSON if nested else FORM
        number = fields["nonce"]
        # Of a whole number it is known how it is written; whatever else a caller brings is read again.
        written = str(number) if type(number) is int and 0 <= number <= _LARGEST else nonce_of(body, content_type)
        if written is None:
            raise ConfigError("The nonce must be a whole number of at most 20 digits.")
        path = f"/0/private/{_checked(self.method)}"
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
        return Request("GET", f"/0/public/{_checked(self.method)}{query}", {"User-Agent": _AGENT}, None)


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """The question how many seconds the caller has left; the answer None means that there is no limit."""


Step: TypeAlias = PrivateCall | PublicCall | Sleep | TimeLeft
R = TypeVar("R")
# A procedure that asks whoever runs it for one step after the other, and is sent Kraken's answer to each.
Steps: TypeAlias = Generator[Step, Any, R]


def _checked(method: str) -> str:
    if not _METHOD.fullmatch(method):
        raise ConfigError(f"{method!r} is none of Kraken's methods, such as Balance.")
    return method


def host_of(base_url: object) -> str:
    """Return host and port in a base URL, for messages. Raises ConfigError if it is not an http or https address."""
    url = base_url if isinstance(base_url, str) else ""
    if "@" in url:
        raise ConfigError(
            "The base URL has a user name or password before its @, which Kraken does not ask for: "
            "leave them out, as in https://api.kraken.com."
        )
    try:
        address = urlsplit(url)
        has_host = bool(address.hostname) and address.port != 0  # raises if the port is no number
        fine = has_host and address.scheme in ("http", "https") and bool(re.fullmatch(r"[^\s?#]+", url))
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(f"The base URL {base_url!r} is not like https://api.kraken.com.")
    return address.netloc


def not_sent(call: str, host: str, reason: str) -> RequestNotSent:
    """Return the error for a call that found no connection."""
    return RequestNotSent(f"{call} at {host}: no connection ({reason}), nothing was sent. The call may be repeated.")


def no_answer(call: str, host: str) -> OutcomeUnknown:
    """Return the error for a call that was sent and not answered."""
    return OutcomeUnknown(f"{call} at {host}: sent, but no answer came. Ask Kraken before repeating it.")


def read_answer(request: Request, host: str, received: Answer) -> dict[str, Any]:
    """Return Kraken's answer, with fractions as Decimal.

    Raises:
        OutcomeUnknown: Another status than 200, or not the JSON object that Kraken's API answers with.
    """
    status, _, data = received
    key = request.headers.get("API-Key")  # an error, and an error page, may quote it
    hook = partial(_without, key) if key else None
    try:
        answer = json.loads(data, parse_float=Decimal, parse_constant=_no_number, object_hook=hook)
    except (ValueError, ArithmeticError, RecursionError):  # an exponent may be too large for a Decimal
        answer = None
    if status == 200 and isinstance(answer, dict):
        return answer
    shown = " ".join(data.decode("utf-8", "replace").split())
    shown = shown.replace(key, "(key)")[:_SHOWN] if key else shown[:_SHOWN]
    raise OutcomeUnknown(f"{request.call} at {host}: HTTP status {status} and no answer of Kraken's API: {shown!r}")


def _without(key: str, part: dict[str, Any]) -> dict[str, Any]:
    """Take the key out of an error that quotes it: the answer's own, or that of one order of a batch."""
    told = part.get("error")
    if told and key in str(told):
        strings = [str(each).replace(key, "(key)") for each in (told if isinstance(told, list) else [told])]
        part["error"] = strings if isinstance(told, list) else strings[0]
    return part


def _no_number(name: str) -> None:
    raise ValueError(f"JSON has no {name}")
