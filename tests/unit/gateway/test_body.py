"""A client's call is read once: its nonce is found, and replaced, and nothing else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import hypothesis.strategies as st
import pytest
from hypothesis import given

from krakenonce.errors import ConfigError
from krakenonce.gateway.client_call import ClientCall, read_call
from krakenonce.kraken.wire import FORM, JSON, nonce_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def read(body: bytes, content_type: str) -> ClientCall:
    """Return the call with this body, which can be read."""
    call = read_call("/0/private/Balance", body, content_type)
    assert call is not None
    assert call.nonce == nonce_of(body, content_type)
    return call


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b"nonce=1&a=%20b", b"nonce=99&a=%20b"),
        (b"a=1&n%6fnce=3&b=+&&c", b"a=1&nonce=99&b=+&&c"),
        (b"x=nonce&nonce=12345678901234567890", b"x=nonce&nonce=99"),
    ],
)
def test_a_form_s_nonce_is_replaced(body: bytes, changed: bytes) -> None:
    """Wherever it is and however its name is written; every other byte stays."""
    assert read(body, FORM).with_nonce(99) == changed


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"nonce":1,"a":[{"nonce":5}]}', b'{"nonce":99,"a":[{"nonce":5}]}'),
        (b'{ "a" : "x\\"nonce" ,\n "nonce" : "12" }', b'{ "a" : "x\\"nonce" ,\n "nonce" : "99" }'),
        (b'{"n\\u006fnce":7}', b'{"n\\u006fnce":99}'),
        ('{"a":"ö€","nonce":7}'.encode(), '{"a":"ö€","nonce":99}'.encode()),
    ],
)
def test_a_json_body_s_nonce_is_replaced(body: bytes, changed: bytes) -> None:
    """The outermost one; a string stays a string, a number a number."""
    assert read(body, JSON).with_nonce(99) == changed


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"a=nonce", FORM),
        (b"nonce=1&nonce=2", FORM),
        (b"nonce=1&n%6Fnce=2", FORM),
        (b"", JSON),
        (b"[1]", JSON),
        (b'{"a":1}', JSON),
        (b'{"nonce":1,"nonce":2}', JSON),
        (b'{"nonce":1,"n\\u006fnce":2}', JSON),
        (b'{"nonce":1} {"nonce":2}', JSON),
        (b'{"nonce":1,}', JSON),
        (b'{"nonce":1 "a":2}', JSON),
        (b'{"a":2"nonce":1}', JSON),
        (b'{"nonce":1', JSON),
        (b'{"nonce"', JSON),
        (b'{"nonce"1}', JSON),
        (b'{"nonce":1}}', JSON),
        (b"\xff\xfe", JSON),
        ('{"nonce":1}'.encode("utf-16"), JSON),
        (b'{"a":' + b"[" * 100_000 + b"1" + b"]" * 100_000 + b',"nonce":1}', JSON),
    ],
)
def test_a_body_without_exactly_one_nonce_is_refused(body: bytes, content_type: str) -> None:
    """Two nonces could mean one thing here and another at Kraken."""
    assert read_call("/0/private/Balance", body, content_type) is None


@pytest.mark.parametrize(
    ("body", "content_type", "params"),
    [
        (b"nonce=1&a=%20b+c&&d&a=2", FORM, {"a": "2", "d": ""}),
        (b'{"nonce":1,"a":[{"nonce":5}],"d":1.5,"d":null}', JSON, {"a": [{"nonce": 5}], "d": None}),
    ],
)
def test_what_a_call_asks_for_is_read_with_its_nonce(body: bytes, content_type: str, params: dict[str, Any]) -> None:
    """The method, and the parameters of the query string and of the body, which goes before."""
    call = read_call("/0/private/Earn/Allocate?a=x&new=tr%75e", body, content_type)
    assert call is not None
    assert (call.method, call.nonce, call.body) == ("Earn/Allocate", "1", body)
    assert {name: call.params[name] for name in call.params if name not in ("nonce", "")} == {**params, "new": "true"}


def test_a_number_that_cannot_be_read_is_told_apart() -> None:
    """It is the request that is wrong, and not its nonce."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_call("/0/private/Balance", b'{"nonce":1,"x":' + b"1" * 5000 + b"}", JSON)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.booleans(), st.sampled_from([None, 2]))
def test_any_json_object_keeps_the_rest(fields: dict[str, object], as_text: bool, indent: int | None) -> None:
    """Read again, only the nonce is another, and it is what will be signed."""
    fields = {**fields, "nonce": "5" if as_text else 5}
    changed = read(json.dumps(fields, indent=indent).encode(), JSON).with_nonce(1795500000000000000)
    nonce = 1795500000000000000
    assert json.loads(changed) == {**fields, "nonce": str(nonce) if as_text else nonce}
    assert nonce_of(changed, JSON) == str(nonce)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6), st.integers(0, 6))
def test_any_form_keeps_the_rest(fields: list[tuple[str, str]], place: int) -> None:
    """Read again, only the nonce is another, and it is what will be signed."""
    fields = [field for field in fields if field[0] != "nonce"]
    before, after = fields[:place], fields[place:]
    changed = read(urlencode([*before, ("nonce", "5"), *after]).encode(), FORM).with_nonce(77)
    assert parse_qsl(changed.decode(), keep_blank_values=True) == [*before, ("nonce", "77"), *after]
    assert nonce_of(changed, FORM) == "77"


@given(st.binary(max_size=200), st.sampled_from([FORM, JSON]))
def test_no_bytes_bring_another_error(body: bytes, content_type: str) -> None:
    """Whatever is sent, there is a body with one nonce, or a refusal."""
    call = read_call("/0/private/Balance", body, content_type)
    if call is not None:
        assert call.nonce == nonce_of(body, content_type)
        assert nonce_of(call.with_nonce(77), content_type) == "77"
