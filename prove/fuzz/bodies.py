"""A client's call as the gateway reads it: its nonce is found and changed, and no other byte."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import strategies as st

from krakenonce.gateway import client_call
from krakenonce.kraken import wire
from prove.campaign import Broken
from prove.fuzz.targets import pure, require

__all__ = ["TARGETS"]

_NUMBERS = st.integers(0, 2**64 - 1)
_BLANKS = st.text(" \t\r\n", max_size=2).map(str.encode)
_FORM_NAMES = st.sampled_from([b"nonce=", b"n%6fnce=", b"%6E%6f%6E%63%65="])
_JSON_NAMES = st.sampled_from([b'"nonce"', b'"n\\u006fnce"', b'"\\u006e\\u006F\\u006e\\u0063\\u0065"'])
# A field of a form, as unchecked bytes, but not the nonce.
_FIELDS = st.binary(max_size=8).map(lambda field: b"x" + field.replace(b"&", b""))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text() | st.just("nonce"), inner, max_size=2),
    max_leaves=5,
)


@st.composite
def _forms(draw: st.DrawFn) -> tuple[bytes, bytes, bytes, str]:
    before, after = draw(st.lists(_FIELDS, max_size=3)), draw(st.lists(_FIELDS, max_size=3))
    kind = draw(st.sampled_from([wire.FORM, "", "text/plain"]))
    nonce = draw(_FORM_NAMES) + str(draw(_NUMBERS)).encode()
    return b"".join(each + b"&" for each in before), nonce, b"".join(b"&" + each for each in after), kind


@st.composite
def _objects(draw: st.DrawFn) -> tuple[bytes, bytes, bytes, str]:
    def fields() -> list[bytes]:
        there = draw(st.dictionaries(st.text().map(lambda name: f"x{name}"), _VALUES, max_size=2))
        is_ascii = draw(st.booleans())
        return [
            blank(json.dumps(name, ensure_ascii=is_ascii).encode())
            + b":"
            + blank(json.dumps(value, ensure_ascii=is_ascii).encode())
            for name, value in there.items()
        ]

    def blank(text: bytes) -> bytes:
        return draw(_BLANKS) + text + draw(_BLANKS)

    before = draw(_BLANKS) + b"{" + b"".join(each + b"," for each in fields()) + blank(draw(_JSON_NAMES)) + b":"
    after = b"".join(b"," + each for each in fields()) + b"}" + draw(_BLANKS)
    quote = draw(st.sampled_from([b"", b'"']))
    nonce = quote + str(draw(_NUMBERS)).encode() + quote
    kind = draw(st.sampled_from([wire.JSON, "Application/JSON ; charset=utf-8"]))
    return before + draw(_BLANKS), nonce, draw(_BLANKS) + after, kind


@st.composite
def _damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body that was cut, mixed with itself, or had something put in between."""
    before, nonce, after, kind = draw(_forms() | _objects())
    body = before + nonce + after
    first, second = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
    between = draw(
        st.binary(max_size=3)
        | st.sampled_from([nonce, body, b'"', b",", b"&", b"}", b"\\", b"&nonce=1", b',"nonce":1'])
    )
    return body[:first] + between + body[second:], draw(st.sampled_from([kind, wire.JSON, wire.FORM]))


@st.composite
def _doubled(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body with a second nonce."""
    before, nonce, after, kind = draw(_forms() | _objects())
    body = before + nonce + after
    return (body.replace(b"{", b'{"nonce":1,', 1) if wire.is_json(kind) else body + b"&nonce=1"), kind


def check_exact(given: tuple[tuple[bytes, bytes, bytes, str], int]) -> None:
    """Before and after the nonce every byte stays; text stays text, and it is the nonce that is then signed."""
    (before, old, after, kind), nonce = given
    body = before + old + after
    call = client_call.read_call("/0/private/Balance", body, kind)
    if call is None:
        raise Broken(f"a body with one nonce was refused: {body!r}")
    require(call.nonce == wire.nonce_of(body, kind), "another nonce is read", body, call)
    changed = call.with_nonce(nonce)
    new = b'"%d"' % nonce if old.startswith(b'"') else b"%d" % nonce
    if not wire.is_json(kind):
        new = b"nonce=" + new
    require(changed == before + new + after, "another byte was changed", before, old, after, changed)
    require(wire.nonce_of(changed, kind) == str(nonce), "another nonce would be signed", changed)


def check_any(given: tuple[tuple[bytes, str], int]) -> None:
    """A body of any kind is refused, or a strict reader finds the same in it but for one other nonce."""
    (body, kind), nonce = given
    call = client_call.read_call("/0/private/Balance", body, kind)
    if call is None:
        require(not _has_one_nonce(body, kind), "a body with one nonce was refused", body)
        return
    changed = call.with_nonce(nonce)
    require(call.nonce == wire.nonce_of(body, kind), "another nonce is read", body, call)
    require(wire.nonce_of(changed, kind) == str(nonce), "another nonce would be signed", body, changed)
    was, now = _read(body, kind), _read(changed, kind)
    require(len(was) == len(now), "there are more or fewer fields", body, changed)
    differ = [(old, new) for old, new in zip(was, now, strict=True) if old != new]
    nonces = [name for name, _ in now if name == "nonce"]
    require({name for name, _ in was if name.isascii()} <= {*call.params, ""}, "a parameter is missed", body, call)
    require(len(nonces) == 1 and all(old[0] == new[0] == "nonce" for old, new in differ), "more changed", body, changed)


def _has_one_nonce(body: bytes, kind: str) -> bool:
    """Whether a strict reader finds one nonce, which is a number."""
    try:
        found = [value for name, value in _read(body, kind) if name == "nonce"]
    except (ValueError, RecursionError, Broken):  # no JSON, or no object
        return False
    text = found[0][-1] if found and isinstance(found[0], tuple) else found[0] if found else None
    return len(found) == 1 and isinstance(text, str) and bool(re.fullmatch("[0-9]{1,20}", text))


def _read(body: bytes, kind: str) -> list[tuple[str, Any]]:
    """Return the outermost names and values, in order and with doubles."""
    if not wire.is_json(kind):
        return parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    # Whole numbers and fractions as the text they are, but not the same as text.
    read = json.loads(
        body.decode(), object_pairs_hook=tuple, parse_int=_number, parse_float=_number, parse_constant=_number
    )
    require(isinstance(read, tuple), "a body that is no object was changed", body)
    return list(read)


def _number(text: str) -> tuple[str, str]:
    return "a number", text


TARGETS = [
    pure("other nonces", st.tuples(_forms() | _objects(), _NUMBERS), check_exact),
    pure(
        "other nonces in damaged bodies",
        st.tuples(_damaged() | _doubled() | st.tuples(st.binary(), st.just(wire.JSON)), _NUMBERS),
        check_any,
    ),
]
