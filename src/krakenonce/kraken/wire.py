"""What is sent to Kraken: request bodies, signatures and the nonce inside a body.

Pure functions that follow Kraken's REST authentication page. The signature covers the exact bytes of the body, so
encode once, sign that text and send that text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import parse_qsl, quote_plus

from krakenonce.errors import ConfigError

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

_AS_IT_IS = re.compile(r"[A-Za-z0-9_.~-]*")
DIGITS = re.compile(r"[0-9]{1,20}")  # of a nonce; 2^64 - 1 has 20


def encode_form(params: Mapping[str, object]) -> str:
    """Return *params* as a form body, in the order given.

    Args:
        params: Names and plain values. ``True`` becomes ``true``; numbers never look like ``1e-05``.

    Raises:
        ConfigError: A value is nested, ``None``, NaN or infinite, which Kraken would misread, or it cannot be encoded.
    """
    fields = [(name, _form_value(name, value)) for name, value in params.items()]
    try:
        return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in fields])
    except ValueError:  # half a surrogate pair, or an integer with more digits than Python writes
        raise ConfigError(
            "The parameters cannot be written as a form body: use text, integers, Decimals and finite floats."
        ) from None


def _quoted(text: object) -> str:
    if type(text) is int:
        return str(text)
    if type(text) is str and _AS_IT_IS.fullmatch(text):
        return text
    return quote_plus(text if isinstance(text, bytes) else str(text))


def _form_value(name: str, value: object) -> object:
    if type(value) is str or type(value) is int:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise ConfigError(f"The parameter {name!r} is not a finite number.")
        return _plain(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        raise ConfigError(f"The parameter {name!r} is nested: a form body cannot contain it; send the call as JSON.")
    if value is None:
        raise ConfigError(f"The parameter {name!r} is None: leave it out.")
    return value


def _plain(number: float | Decimal) -> str:
    # repr of a float is its shortest exact spelling; Decimal writes it without an exponent.
    return format(number if isinstance(number, Decimal) else Decimal(repr(number)), "f")


def encode_json(params: Mapping[str, object]) -> str:
    """Return *params* as a compact JSON body, in the order given.

    Args:
        params: Names and values. Decimals become strings with every digit. Integers are written as integers, because
            a nonce that has passed through a float has lost its last digits.

    Raises:
        ConfigError: A value is NaN or infinite, or of a type that JSON does not have.
    """
    try:
        return json.dumps(params, separators=(",", ":"), allow_nan=False, default=_json_value)
    except (TypeError, ValueError, RecursionError):
        raise ConfigError(
            "The parameters cannot be written as JSON: use text, finite numbers, lists or dicts."
        ) from None


def _json_value(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return _plain(value)
    raise TypeError


class Secret:
    """An API secret, ready to sign with. Neither its repr nor a variable of a function that signs shows the bytes.

    Args:
        secret: The bytes. They are not kept as such: what is kept is HMAC's state after it has read them.
    """

    __slots__ = ("_keyed",)

    def __init__(self, secret: bytes) -> None:
        self._keyed = hmac.new(secret, digestmod="sha512")

    def __repr__(self) -> str:
        return "Secret(...)"

    def mac(self, message: bytes) -> bytes:
        """Return the HMAC-SHA512 of *message*."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.digest()


def decode_secret(secret: str) -> Secret:
    """Return what an API secret signs with.

    Args:
        secret: The base64 text that Kraken showed when the key was created.

    Raises:
        ConfigError: It is empty or not base64. The message does not show it.
    """
    try:
        decoded = binascii.a2b_base64(secret, strict_mode=True)
    except ValueError:
        decoded = b""
    if decoded and len(secret) % 4 == 0:  # the decoder lets a surplus = pass
        return Secret(decoded)
    del secret, decoded  # error reports show the variables of this frame
    raise ConfigError("The API secret is not base64 text: copy it again from Kraken, without spaces or line breaks.")


def sign(path: str, nonce: int | str, body: str | bytes, secret: Secret) -> str:
    """Return the ``API-Sign`` header, as Kraken's REST authentication page describes it.

    Args:
        path: The URL path with its query string, from ``/0/private`` on.
        nonce: The nonce that is also inside *body*.
        body: Exactly what will be sent.
        secret: What :func:`decode_secret` returned.
    """
    payload = body.encode() if isinstance(body, str) else body
    digest = hashlib.sha256(str(nonce).encode() + payload).digest()
    # surrogateescape gives back the bytes of a path that a server received undecoded.
    message = path.encode("utf-8", "surrogateescape") + digest
    return base64.b64encode(secret.mac(message)).decode("ascii")


def verify(path: str, body: bytes, content_type: str, secret: Secret, signature: str) -> bool:
    """Return whether *signature* is right for these bytes. The time it takes does not depend on the answer.

    Args:
        path: The URL path with its query string, as received.
        body: The body as received.
        content_type: The ``Content-Type`` header; anything but JSON is read as a form.
        secret: What :func:`decode_secret` returned.
        signature: The ``API-Sign`` header.
    """
    nonce = nonce_of(body, content_type)
    return nonce is not None and is_signed(path, nonce, body, secret, signature)


def is_signed(path: str, nonce: str, body: bytes, secret: Secret, signature: str) -> bool:
    """Return the same for a body whose nonce has been read, as it is written there."""
    expected = sign(path, nonce, body, secret)
    return hmac.compare_digest(expected.encode("ascii"), signature.encode("utf-8", "backslashreplace"))


def nonce_of(body: bytes, content_type: str) -> str | None:
    """Return the nonce inside a body, as it is written there. Never raises.

    Args:
        body: A form or JSON body, or any other bytes.
        content_type: The ``Content-Type`` header; anything but JSON is read as a form.

    Returns:
        One to twenty digits, or ``None`` when there is no such nonce or a form has two.
    """
    if is_json(content_type):
        nonce = _json_nonce(body)
    else:
        fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        found = [value for name, value in fields if name == "nonce"]
        nonce = found[0] if len(found) == 1 else None
    return nonce if isinstance(nonce, str) and DIGITS.fullmatch(nonce) else None


def _json_nonce(body: bytes) -> object:
    try:
        # Integers stay text: signing needs every digit as sent.
        fields = json.loads(body, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return fields.get("nonce") if isinstance(fields, dict) else None


def is_json(content_type: str) -> bool:
    """Return whether a ``Content-Type`` header says JSON."""
    return content_type.partition(";")[0].strip().lower() == JSON
