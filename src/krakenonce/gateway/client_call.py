"""A client's call, read once: what it asks for, what its signature covers, and where the nonce is in it. No I/O."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote_plus

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import DIGITS, is_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECODER = JSONDecoder()
# What is before, in and after the members of a JSON object; each _ stands for blanks.
_FIRST, _COLON, _NEXT, _END = (
    re.compile(pattern.replace("_", r"[ \t\n\r]*")) for pattern in (r'_\{_(?=")', "_:_", '_,_(?=")', r"_\}_")
)

# The nonce as it is written, the parameters by name, and the bytes before and after another nonce.
_Read: TypeAlias = tuple[str, dict[str, Any], bytes, bytes]


class ClientCall(NamedTuple):
    """A private call, as the client has sent it.

    Args:
        path: The path with its query string, as received.
        method: Kraken's name for it.
        params: The parameters in the query string and in the body, by name.
        body: The body, as received.
        nonce: The nonce in the body, as it is written there: one to twenty digits.
        before: The body up to the nonce.
        after: The body from the end of the nonce.
        is_json: Whether the body is JSON, and not a form.
    """

    path: str
    method: str
    params: dict[str, Any]
    body: bytes
    nonce: str
    before: bytes
    after: bytes
    is_json: bool

    def can_pass(self) -> bool:
        """Return whether an HTTP client would send the path unchanged, and so as it is signed."""
        # None sends a fragment, nor a question mark alone.
        return self.path.isascii() and "#" not in self.path and self.path.partition("?")[1:] != ("?", "")

    def with_more(self, more: Mapping[str, str]) -> ClientCall:
        """Return the call with more parameters, at the end of its body. Their values need no quoting."""
        fields = [(name.encode(), value.encode()) for name, value in more.items()]
        if self.is_json:
            after = self.after.rstrip().removesuffix(b"}") + b"".join(b',"%b":"%b"' % each for each in fields) + b"}"
        else:
            after = self.after + b"".join(b"&%b=%b" % each for each in fields)
        return self._replace(params={**self.params, **more}, after=after)

    def with_nonce(self, nonce: int) -> bytes:
        """Return the body with another nonce, otherwise unchanged. A JSON string stays a string, a number a number."""
        return b"%b%d%b" % (self.before, nonce, self.after)


def method_in(path: str) -> str:
    """Return Kraken's name for the method that a path calls."""
    return path.partition("?")[0].removeprefix("/0/private/")


def read_call(path: str, body: bytes, content_type: str) -> ClientCall | None:
    """Return a client's call.

    Args:
        path: The path with its query string, as received.
        body: A form or JSON body with exactly one nonce, of digits.
        content_type: The ``Content-Type`` header; anything but JSON is read as a form.

    Returns:
        None if there is no such nonce, if there are two, or if the body is not what the content type says. Two nonces
        could mean one thing here and another at Kraken.

    Raises:
        ConfigError: It has an integer with more digits than Python reads.
    """
    in_json = is_json(content_type)
    read = _read_json(body) if in_json else _read_form(body)
    if read is None or not DIGITS.fullmatch(read[0]):
        return None
    nonce, params, before, after = read
    params = {**dict(parse_qsl(path.partition("?")[2], keep_blank_values=True)), **params}
    return ClientCall(path, method_in(path), params, body, nonce, before, after, in_json)


def _read_form(body: bytes) -> _Read | None:
    fields = body.split(b"&")
    read = [[unquote_plus(part) for part in field.decode("utf-8", "replace").partition("=")[::2]] for field in fields]
    names = [name for name, _ in read]
    if names.count("nonce") != 1:
        return None
    at, params = names.index("nonce"), dict(read)
    return params["nonce"], params, b"&".join([*fields[:at], b"nonce="]), b"&".join([b"", *fields[at + 1 :]])


def _read_json(body: bytes) -> _Read | None:
    params: dict[str, Any] = {}
    spans = []  # of the values that the outermost object has as its nonce
    try:
        text = body.decode()
        member = _FIRST.match(text)
        while member:
            name, at = _DECODER.raw_decode(text, member.end())
            colon = _COLON.match(text, at)
            start = colon.end() if colon else len(text)  # where no value is
            params[name], at = _DECODER.raw_decode(text, start)
            if name == "nonce":
                spans.append((start, at))
            member = _NEXT.match(text, at)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    except ValueError:
        raise ConfigError("the request cannot be read; it was not sent") from None
    if len(spans) != 1 or not _END.fullmatch(text, at):
        return None
    start, end = spans[0]
    quote = '"' if text[start] == '"' else ""
    nonce = params["nonce"] if quote else text[start:end]
    return nonce, params, (text[:start] + quote).encode(), (quote + text[end:]).encode()
