"""A request to the fake Kraken, unpacked once, and its entry in the log.

No other module reads its path, headers or body.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from krakenonce.kraken.wire import DIGITS, is_json, is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from krakenonce.kraken.wire import Secret
    from krakenonce.testing.keys import ApiKey


_LARGEST_NONCE = 2**64 - 1  # Kraken's guides call the nonce an unsigned 64-bit integer
_SHOWN = 5  # refused nonces in a message


class Refused(Exception):
    """Kraken's answer is this error."""


@dataclass(slots=True, kw_only=True, repr=False)
class Request:
    """One request: what was sent, and how it arrived, which is noted on its way.

    Args:
        path_qs: The URL path with its query string, as received.
        headers: As received.
        body: As received.
        kind: ``private`` or ``public``; any other text for a path that Kraken's API does not have.
        method: Such as ``Balance``.
        params: The parameters: texts, and in JSON also lists and objects of texts.
        key: The ``API-Key`` header.
        signature: The ``API-Sign`` header.
        nonce: The nonce, ``None`` when missing, unreadable or above 2^64 - 1.
        nonce_text: The nonce as it is written in the body; empty when missing or unreadable.
        now: When it is processed, in seconds since 1970.
        received: When it came in; before *now* if it had to wait.
        sender_gone: Whether its sender has closed the connection by then.
        is_copy: Whether the fault ``duplicate`` made it.
        hidden_for: Seconds for which an order placed by it is in no list.
        in_flight: How many requests of its account are in flight, with this one.
        fault: The name of the fault that it gets; empty for none.
    """

    path_qs: str
    headers: Mapping[str, str]
    body: bytes
    kind: str
    method: str
    params: Mapping[str, Any]
    key: str
    signature: str
    nonce: int | None
    nonce_text: str
    now: float
    received: float
    sender_gone: bool = False
    is_copy: bool = False
    hidden_for: float = 0.0
    in_flight: int = 1
    fault: str = ""

    def is_signed_with(self, secret: Secret) -> bool:
        """Return whether its signature was made with this secret; only for a request with a nonce."""
        return is_signed(self.path_qs, self.nonce_text, self.body, secret, self.signature)

    def arrived(self, key: ApiKey | None, last_nonce: int | None, *, accepted: bool, error: str | None) -> Arrival:
        """Return its entry in the log; *key* is its API key if it is known, the rest is as for :class:`Arrival`."""
        return Arrival(
            self.now,
            key.account.name if key else None,
            self.method,
            self.nonce,
            accepted,
            error,
            self.sender_gone,
            self.is_copy,
            last_nonce,
            self.fault,
            key.name if key else None,
        )


def unpack(path_qs: str, headers: Mapping[str, str], body: bytes, now: float, **arrived: Any) -> Request:
    """Return the unpacked request; never raises, whatever the bytes are.

    Args:
        path_qs: The URL path with its query string, as received: the signature covers it.
        headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
        body: The body, as received: the signature covers it.
        now: When it is processed, in seconds since 1970.
        **arrived: ``received`` (*now* if not given), ``sender_gone``, ``is_copy``, ``hidden_for``, ``in_flight``:
            see :class:`Request`.
    """
    path, _, query = path_qs.partition("?")
    _, version, kind, method = (path + "///").split("/", 3)
    if is_json(headers.get("Content-Type", "")):
        params = _read_json(body)
        nonces = [params.get("nonce")]
    else:
        fields = parse_qsl(body.decode("utf-8", "replace") or query, keep_blank_values=True)
        params = _from_form(fields)
        nonces = [value for name, value in fields if name == "nonce"] if body else []
    is_one = len(nonces) == 1 and isinstance(nonces[0], str) and DIGITS.fullmatch(nonces[0])
    nonce_text = str(nonces[0]) if is_one else ""
    return Request(
        path_qs=path_qs,
        headers=headers,
        body=body,
        kind=kind if version == "0" else "",
        method=sys.intern(method.rstrip("/")),  # the log keeps one text for all of its calls
        params=params,
        key=headers.get("API-Key", ""),
        signature=headers.get("API-Sign", ""),
        nonce=int(nonce_text) if nonce_text and int(nonce_text) <= _LARGEST_NONCE else None,
        nonce_text=nonce_text,
        now=now,
        **{"received": now, **arrived},
    )


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        fields = _texts(json.loads(body, parse_int=str, parse_float=str))
    except (ValueError, RecursionError):
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


def _from_form(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields of a form; ``close[ordertype]=limit`` is a field of the object ``close``."""
    fields: dict[str, Any] = {}
    for name, value in dict(pairs).items():
        outer, bracket, inner = name.removesuffix("]").partition("[")
        if bracket and inner and isinstance(fields.setdefault(outer, {}), dict):
            fields[outer][inner] = value
        else:
            fields[name] = value
    return fields


@dataclass(frozen=True, slots=True)
class Arrival:
    """One private request, in the order of arrival.

    Args:
        at: When it was processed, in seconds since 1970.
        account: The name of the account, ``None`` for an unknown key.
        method: Such as ``Balance``.
        nonce: Its nonce, ``None`` when missing or unreadable.
        accepted: Whether the nonce was accepted; it is used then, whatever the answer is.
        error: The error string of the answer, ``None`` if it has none.
        sender_gone: Whether the sender had closed the connection before the request was processed.
        is_copy: Whether the fault ``duplicate`` made it; its sender sent one request.
        last_nonce: The last nonce accepted before it, ``None`` for an unknown key.
        fault: The fault that it got, such as ``drop``; empty for none. One that is never executed is not accepted.
        key_name: The name of the key, ``None`` for an unknown one; that of an account's first key is the account's.
    """

    at: float
    account: str | None
    method: str
    nonce: int | None
    accepted: bool
    error: str | None
    sender_gone: bool
    is_copy: bool = False
    last_nonce: int | None = None
    fault: str = ""
    key_name: str | None = None


def explain(refused: Sequence[Arrival], calls: int) -> str:
    """Return the message for requests whose nonce was refused.

    Args:
        refused: These requests.
        calls: How many private requests there were in all.
    """
    lines = [
        f"  {each.key_name or each.account}: {each.method} with "
        f"{'no readable nonce' if each.nonce is None else f'nonce {each.nonce}'}; "
        f"the last one accepted was {each.last_nonce}"
        for each in refused[:_SHOWN]
    ]
    if len(refused) > _SHOWN:
        lines.append(f"  and {len(refused) - _SHOWN} more")
    return "\n".join(
        [
            f"{len(refused)} of {calls} private calls were answered with EAPI:Invalid nonce:",
            *lines,
            "The calls of a key have to reach Kraken one after the other, each with a larger nonce.",
        ]
    )
