"""One request as the fake Kraken sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from krakenonce.kraken.wire import is_json, nonce_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Refused", "Request"]

_LARGEST_NONCE = 2**64 - 1  # Kraken's guides call the nonce an unsigned 64-bit integer


class Refused(Exception):
    """An answer that consists of an error string."""


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        path_qs: The URL path with its query string, as received.
        method: Such as ``Balance``.
        headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
        body: The body, as received.
        now: When it is processed, in seconds since 1970.
        received: When it came in; earlier than *now* if it had to wait.
        sender_gone: Whether its sender has closed the connection.
        is_copy: Whether the fault ``duplicate`` made it.
        hidden_for: Seconds for which an order placed by it is in no list.
        in_flight: How many requests of its key are in flight, with this one.
    """

    path_qs: str
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    now: float
    received: float
    sender_gone: bool = False
    is_copy: bool = False
    hidden_for: float = 0.0
    in_flight: int = 1

    @property
    def content_type(self) -> str:
        """The ``Content-Type`` header."""
        return self.headers.get("Content-Type", "")

    @cached_property
    def nonce(self) -> int | None:
        """Its number, ``None`` when missing, unreadable or above 2^64 - 1."""
        text = nonce_of(self.body, self.content_type)
        number = None if text is None else int(text)
        return number if number is not None and number <= _LARGEST_NONCE else None

    @cached_property
    def params(self) -> dict[str, Any]:
        """Its parameters: texts, and for JSON bodies also lists and objects of texts."""
        if is_json(self.content_type):
            return _read_json(self.body)
        query = self.path_qs.partition("?")[2]
        text = self.body.decode("utf-8", "replace") if self.body else query
        return _unfolded(dict(parse_qsl(text, keep_blank_values=True)))


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        fields = _texts(json.loads(body, parse_int=str, parse_float=str))
    except (ValueError, RecursionError):  # only of a public method: a private one had a readable nonce
        return {}
    return fields if isinstance(fields, dict) else {}


def _texts(value: Any) -> Any:
    match value:
        case dict():
            return {name: _texts(each) for name, each in value.items() if each is not None}
        case list():
            return [_texts(each) for each in value]
        case bool():
            return str(value).lower()
    return value


def _unfolded(fields: dict[str, str]) -> dict[str, Any]:
    """Read ``close[ordertype]=limit`` as an object, as Kraken's forms have it."""
    unfolded: dict[str, Any] = {}
    for name, value in fields.items():
        outer, bracket, inner = name.removesuffix("]").partition("[")
        if bracket and inner and isinstance(unfolded.setdefault(outer, {}), dict):
            unfolded[outer][inner] = value
        else:
            unfolded[name] = value
    return unfolded
