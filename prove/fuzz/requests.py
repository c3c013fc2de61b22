"""Requests: bodies that contain what they were given, and signatures that are valid for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import string
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import strategies as st

from krakenonce.errors import ConfigError
from krakenonce.kraken import request as requests
from krakenonce.kraken import wire
from prove.campaign import Broken
from prove.fuzz.targets import pure, require

__all__ = ["TARGETS", "own_signature"]

_LONGEST = 10**4000  # digits, about as many as Python turns into text

TEXTS = st.text(st.characters()).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
NUMBERS = (
    st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats(allow_nan=False, allow_infinity=False)
)
PLAIN = TEXTS | NUMBERS | st.booleans() | st.integers(4300, 5000).map(lambda digits: 10**digits)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
NONCES = st.integers(0, 2**64 - 1)
SECRETS = st.binary(min_size=1, max_size=200)
PATHS = st.binary(max_size=40).map(lambda path: b"/0/private/" + path)


def own_signature(path: bytes, nonce: bytes, body: bytes, secret: bytes) -> str:
    """Return the signature after Kraken's page, with nothing but hashes: HMAC is written out (RFC 2104)."""
    key = (hashlib.sha512(secret).digest() if len(secret) > 128 else secret).ljust(128, b"\0")
    message = path + hashlib.sha256(nonce + body).digest()
    inner = hashlib.sha512(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return base64.b64encode(hashlib.sha512(bytes(byte ^ 0x5C for byte in key) + inner).digest()).decode()


def check_form(params: dict[str, Any]) -> None:
    """A form read again has the same names and values in the same order, or it is refused."""
    try:
        body = wire.encode_form(params)
    except ConfigError:
        require(not all(_has_utf8(each) for each in (*params, *params.values())), "a form was refused", params)
        return
    require(body.isascii() and body.isprintable(), "a form is not plain ASCII", body)
    read = parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body), max_num_fields=len(params))
    pairs = zip(read, params.items(), strict=True)
    require(all(name == was and _means(text, value) for (name, text), (was, value) in pairs), "a form changed", body)


def check_json(params: dict[str, Any]) -> None:
    """JSON read again has the same names and values in the same order, or it is refused."""
    try:
        body = wire.encode_json(params)
    except ConfigError:
        require(not _is_short(params), "JSON was refused", params)
        return
    require(body.isascii() and body.isprintable(), "JSON is not plain ASCII", body)
    read = json.loads(body)
    require(list(read) == list(params) and _same(read, params), "JSON changed", body)


def check_secret(text: str) -> None:
    """What decode_secret takes is what an encoder writes; all else is refused, and not quoted."""
    is_base64 = re.fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", text)
    try:
        signature = wire.sign("/", 1, b"", wire.decode_secret(text))
    except ConfigError as error:
        require(not is_base64 or not text, "a secret was refused", text)
        if text:
            require(str(error) == _refusal_of_nothing(), "the message depends on the secret", text, error)
    else:
        require(is_base64, "a secret was taken", text)
        own = own_signature(b"/", b"1", b"", base64.b64decode(text))
        require(signature == own, "a secret was misread", text)


def _refusal_of_nothing() -> str:
    try:
        wire.decode_secret("")
    except ConfigError as error:
        return str(error)
    raise Broken("no secret at all is taken for one")


def check_request(given: tuple[dict[str, Any], int, bytes, str]) -> None:
    """A signed request has the signature that is independently made of its bytes, and is verified."""
    params, nonce, secret, method = given
    key = requests.Key("key", base64.b64encode(secret).decode())
    try:
        request = requests.PrivateCall(method, params).request(key, nonce, 1_700_000_000.0)
    except ConfigError:
        plain = all(_has_utf8(each) for each in (*params, *params.values())) and _is_short(params)
        require(not plain or "nonce" in params, "a request was refused", params)
        return
    body, kind = request.body or b"", request.headers["Content-Type"]
    read = json.loads(body, parse_int=str) if kind == wire.JSON else dict(parse_qsl(body.decode(), True))
    require(read["nonce"] == str(nonce), "another nonce is in the body", body)
    own = own_signature(request.path.encode(), read["nonce"].encode(), body, secret)
    require(request.headers["API-Sign"] == own, "the signature is another", request)
    require(wire.verify(request.path, body, kind, wire.Secret(secret), own), "a right signature is refused", request)


def check_signature(given: tuple[bytes, int, bytes, bytes, bool, int, int]) -> None:
    """One bit of path, body, secret or signature is enough to make a signature wrong."""
    path, nonce, extra, secret, as_json, place, bit = given
    kind = wire.JSON if as_json else wire.FORM
    blanks = b" " * (len(extra) % 5)
    body = b'{"nonce":%d%s}' % (nonce, blanks) if as_json else b"nonce=%d&x=" % nonce + extra.replace(b"&", b"")
    own = own_signature(path, str(nonce).encode(), body, secret)
    made = wire.sign(_text(path), nonce, body, wire.Secret(secret))
    require(made == own, "the signature is another", path, body, secret)
    parts = [path, body, secret, own.encode()]
    require(_is_verified(parts, kind), "a right signature is refused", *parts)
    which = place % len(parts)
    changed = bytearray(parts[which])
    changed[place // len(parts) % len(changed)] ^= 1 << bit
    damaged = [*parts[:which], bytes(changed), *parts[which + 1 :]]
    require(not _is_verified(damaged, kind), "one bit was changed, and the signature holds", *damaged)


def check_nonce(given: tuple[bytes, str]) -> None:
    """Whatever a body is, it has no nonce or one that a strict reader finds there, too."""
    body, kind = given
    nonce = wire.nonce_of(body, kind)
    require(
        not wire.verify("/0/private/Balance", body, kind, wire.Secret(b"secret"), "x"), "anything is verified", body
    )
    if nonce is None:
        require(not _has_one_nonce(body, kind), "a nonce is not found", body)
        return
    require(re.fullmatch("[0-9]{1,20}", nonce, re.ASCII), "the nonce is no number", nonce, body)
    if wire.is_json(kind):
        require(str(json.loads(body, parse_int=str)["nonce"]) == nonce, "another nonce is read", body)
    else:
        fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        require([value for name, value in fields if name == "nonce"] == [nonce], "another nonce is read", body)


def _has_one_nonce(body: bytes, kind: str) -> bool:
    """Whether a strict reader finds one nonce, which is a number."""
    try:
        if wire.is_json(kind):
            fields = json.loads(body, parse_int=str)
            found = [fields["nonce"]] if isinstance(fields, dict) and "nonce" in fields else []
        else:
            fields = parse_qsl(body.decode(), keep_blank_values=True)
            found = [value for name, value in fields if name == "nonce"]
    except (ValueError, RecursionError):
        return False
    return len(found) == 1 and isinstance(found[0], str) and bool(re.fullmatch("[0-9]{1,20}", found[0], re.ASCII))


def _is_verified(parts: list[bytes], kind: str) -> bool:
    path, body, secret, signature = parts
    return wire.verify(_text(path), body, kind, wire.Secret(secret), signature.decode("latin-1"))


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")  # as a server receives it


def _has_utf8(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    return not isinstance(value, int) or abs(value) < _LONGEST


def _is_short(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_short, value.values()))
    if isinstance(value, list):
        return all(map(_is_short, value))
    return not isinstance(value, int) or abs(value) < _LONGEST


def _means(text: object, value: Any) -> bool:
    """Whether the text in a body means *value*."""
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, float | Decimal):
        return isinstance(text, str) and set(text) <= set("-.0123456789") and type(value)(text) == value
    return text == str(value)


def _same(read: Any, given: Any) -> bool:
    match given:
        case dict():
            return (
                isinstance(read, dict) and read.keys() == given.keys() and all(_same(read[k], given[k]) for k in given)
            )
        case list():
            return isinstance(read, list) and len(read) == len(given) and all(map(_same, read, given))
        case Decimal():
            return _means(read, given)
    return type(read) is type(given) and bool(read == given)


_FIELDS = st.dictionaries(TEXTS.filter(lambda name: name != "nonce"), NESTED, max_size=5)
_BITS = (st.integers(0, 10**6), st.integers(0, 7))
_KINDS = st.sampled_from([wire.FORM, wire.JSON, "application/json; charset=utf-8", "", "text/html"])
_NONCE_LIKE = st.builds(
    lambda parts, kind: (b"".join(parts), kind),
    st.lists(
        st.binary(max_size=4) | st.sampled_from([b"nonce=1", b"&", b'{"nonce":', b"12", b'"', b"}", b"n%6fnce=", b","])
    ),
    _KINDS,
)
_ALMOST_BASE64 = st.builds(
    lambda secret, at, extra: (
        (text := base64.b64encode(secret).decode())[: at % (len(text) + 1)] + extra + text[at % (len(text) + 1) :]
    ),
    SECRETS,
    st.integers(0, 300),
    st.sampled_from(["", "", "=", "==", "\n", " ", "-", "é", "A"]),
)

TARGETS = [
    pure("forms", st.dictionaries(TEXTS, PLAIN, max_size=6), check_form),
    pure("JSON bodies", st.dictionaries(TEXTS, NESTED, max_size=5), check_json),
    pure("secrets", _ALMOST_BASE64 | st.text() | st.text(string.ascii_letters + "=+/"), check_secret),
    pure(
        "requests",
        st.tuples(_FIELDS, NONCES, SECRETS, st.sampled_from(["Balance", "AddOrder", "Earn/Strategies"])),
        check_request,
    ),
    pure("signatures", st.tuples(PATHS, NONCES, st.binary(), SECRETS, st.booleans(), *_BITS), check_signature),
    pure("nonces", _NONCE_LIKE, check_nonce),
]
