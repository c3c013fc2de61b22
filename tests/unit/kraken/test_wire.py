from __future__ import annotations

import base64
import binascii
import json
import re
import traceback
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import (
    FORM,
    JSON,
    Secret,
    decode_secret,
    encode_form,
    encode_json,
    nonce_of,
    sign,
    verify,
)

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = 1616492376594
# A and B are published by Kraken; C, D and E follow from the published algorithm.
VECTORS = {
    "A": (
        "/0/private/AddOrder",
        FORM,
        "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25",
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
    ),
    "B": (
        "/0/private/GetCustodyTask?id=TGWOJ4JQPOTZT2",
        JSON,
        '{"nonce":1616492376594}',
        "2rM09q8HG7LvjivBitQUybwZ/DSeO8+i0U/at/wclH2Jma6gMaE/0Nw9dyLR+ykMd5eWCngSL4K58i6uJzXDCw==",
    ),
    "C": (
        "/0/private/Balance",
        FORM,
        "nonce=1616492376594",
        "1nH4vwR+8FHiYh1QT649xXkGd3JR3x0DWkgv3u9Ed/Qqv6KPtgQpEU4m+Emb/VgpEji3j1XNwI+HCbfXxmrTOg==",
    ),
    "D": (
        "/0/private/AddOrder",
        JSON,
        '{"nonce":1616492376594,"ordertype":"limit","pair":"XBTUSD","price":"37500","type":"buy","volume":"1.25"}',
        "kMkTQfyYJH05IdnWQ9TIqL9Kq+dKqcD5O/TGPPLRwwy1is/YvqEYtMAHf7tXsqwfbLwp7pbzJzWHxzKPnL8rfA==",
    ),
    "E": (
        "/0/private/AddOrder",
        FORM,
        "nonce=1616492376594&ordertype=limit&pair=XBTUSD&type=buy&volume=1&starttm=%2B5&close%5Bordertype%5D=limit",
        "zJlERv4H++2uKI52bLQZM0oBlu2YHW5/qx1qXXzc6f9Audt4atv4HaSNYXJyFIZ+cpLmzhUDSJ55bW+QO5Boaw==",
    ),
}
NONCES = st.integers(0, 2**64 - 1)
CONTENT_TYPES = st.sampled_from([FORM, JSON, "application/json; charset=utf-8", ""])
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("name", VECTORS)
def test_sign_gives_the_published_signatures(name: str) -> None:
    """The known requests get the known signatures, as text and as bytes."""
    path, _, body, expected = VECTORS[name]
    assert sign(path, NONCE, body, decode_secret(SECRET)) == expected
    assert sign(path, str(NONCE), body.encode(), decode_secret(SECRET)) == expected


@pytest.mark.parametrize("name", VECTORS)
def test_verify_accepts_the_published_signatures(name: str) -> None:
    """The known signatures are found right, with the nonce taken from the body."""
    path, content_type, body, expected = VECTORS[name]
    assert verify(path, body.encode(), content_type, decode_secret(SECRET), expected)


def test_encoders_give_the_published_bodies() -> None:
    """Both encoders write Kraken's own example, in the order given."""
    order = {
        "ordertype": "limit",
        "pair": "XBTUSD",
        "price": "37500",
        "type": "buy",
        "volume": Decimal("1.25"),
    }
    assert encode_form({"nonce": NONCE, **order}) == VECTORS["A"][2]
    assert encode_json({"nonce": NONCE, **order}) == VECTORS["D"][2]


def test_encode_form_escapes_and_spells_out() -> None:
    """Special signs are escaped, truth values are words and numbers have no exponent."""
    params = {
        "starttm": "+5",
        "close[ordertype]": "limit",
        "validate": True,
        "x": False,
        "a": 1e-05,
        "b": Decimal("1E+3"),
    }
    assert encode_form(params) == ("starttm=%2B5&close%5Bordertype%5D=limit&validate=true&x=false&a=0.00001&b=1000")


@given(NUMBERS)
def test_numbers_keep_their_value_and_never_have_an_exponent(number: Decimal | float) -> None:
    """A number reads back as the same number, from plain digits only."""
    ((_, text),) = parse_qsl(encode_form({"volume": number}))
    assert "e" not in text.lower()
    assert type(number)(text) == number


@pytest.mark.parametrize("value", [{"ordertype": "limit"}, ["a"], ("a",), None, float("nan"), Decimal("Infinity")])
def test_encode_form_refuses_what_a_form_cannot_hold(value: object) -> None:
    """Nested, missing and non-finite values are refused by the parameter's name."""
    with pytest.raises(ConfigError, match="'close'"):
        encode_form({"close": value})


@pytest.mark.parametrize(
    "params", [{"userref": "\ud800"}, {"\udcff": "x"}, {"volume": 10**5000}], ids=["value", "name", "digits"]
)
def test_encode_form_refuses_what_has_no_bytes(params: dict[str, object]) -> None:
    """Half a surrogate pair and a number too long for Python are refused, and not quoted."""
    said = r"^The parameters cannot be written as a form body: use text, integers, Decimals and finite floats\.$"
    with pytest.raises(ConfigError, match=said) as caught:
        encode_form(params)
    assert caught.value.__cause__ is None


def test_encode_json_keeps_every_digit() -> None:
    """Whole numbers and Decimals reach the text without passing through a float."""
    text = encode_json({"nonce": 2**63 - 1, "volume": Decimal("0.10000000000000000001"), "orders": [{"deep": True}]})
    assert text == '{"nonce":9223372036854775807,"volume":"0.10000000000000000001","orders":[{"deep":true}]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), object(), {1, 2}])
def test_encode_json_refuses_what_json_does_not_have(value: object) -> None:
    """Non-finite numbers and foreign types are refused."""
    with pytest.raises(ConfigError, match=r"^The parameters cannot be written as JSON: use text, .* lists or dicts\.$"):
        encode_json({"volume": value})


@given(st.text("ABCDabcd0123+/", min_size=12))
def test_a_bad_secret_is_refused_and_not_quoted(secret: str) -> None:
    """What is not base64 raises, and neither message nor traceback holds it."""
    with pytest.raises(ConfigError) as caught:
        decode_secret(secret + "*")
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert re.fullmatch(r"The API secret is not base64 text: copy it again from Kraken, .* breaks\.", str(caught.value))


@given(st.text())
def test_decode_secret_is_strict(secret: str) -> None:
    """A secret is either refused or its base64 text is the secret again, but for spare bits."""
    try:
        made = decode_secret(secret)
    except ConfigError:
        return
    decoded = base64.b64decode(secret, validate=True)
    assert len(base64.b64encode(decoded)) == len(secret)
    assert sign("/", 1, "", made) == sign("/", 1, "", Secret(decoded))


@pytest.mark.parametrize("secret", ["", SECRET + "\n", SECRET[:-1], " " + SECRET, SECRET.replace("/", "_"), "AAAA="])
def test_decode_secret_takes_no_almost_right_text(secret: str) -> None:
    """Empty, cut, blank-padded and URL-safe texts are refused."""
    with pytest.raises(ConfigError):
        decode_secret(secret)


PARAMS = st.dictionaries(st.text().filter(lambda name: name != "nonce"), st.text() | st.integers() | st.booleans())


@given(NONCES, PARAMS, st.binary(min_size=1, max_size=64), st.booleans())
def test_what_is_signed_is_verified(nonce: int, params: dict[str, object], secret: bytes, as_json: bool) -> None:
    """Every request signed here is found right, and its nonce is found."""
    encode, content_type = (encode_json, JSON) if as_json else (encode_form, FORM)
    body = encode({**params, "nonce": nonce}).encode()
    signature = sign("/0/private/Balance", nonce, body, Secret(secret))
    assert nonce_of(body, content_type) == str(nonce)
    assert verify("/0/private/Balance", body, content_type, Secret(secret), signature)


@given(st.data())
def test_a_changed_request_is_not_verified(data: st.DataObject) -> None:
    """One changed byte in the body, or another path or secret, makes the signature wrong."""
    path, content_type, text, signature = data.draw(st.sampled_from(list(VECTORS.values())))
    body, secret = bytearray(text.encode()), decode_secret(SECRET)
    assert not verify(path + "x", bytes(body), content_type, secret, signature)
    assert not verify(path, bytes(body), content_type, Secret(base64.b64decode(SECRET) + b"x"), signature)
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    assert not verify(path, bytes(body), content_type, secret, signature)


@given(st.binary(), CONTENT_TYPES, st.text())
def test_arbitrary_bytes_never_raise(body: bytes, content_type: str, signature: str) -> None:
    """Whatever arrives is answered with a nonce or None, and is not verified."""
    nonce = nonce_of(body, content_type)
    assert nonce is None or nonce.isdigit()
    assert not verify("/0/private/Balance", body, content_type, Secret(b"secret"), signature)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_only_whole_json_numbers_are_nonces(value: object) -> None:
    """A JSON nonce is one to twenty digits, as a number or as text."""
    assume(not (isinstance(value, str) and value.isdigit()))
    expected = str(value) if type(value) is int and 0 <= value < 10**20 else None
    assert nonce_of(json.dumps({"nonce": value}).encode(), JSON) == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"nonce=", FORM),
        (b"nonce=1&nonce=2", FORM),
        (b"nonce=&nonce=2", FORM),
        (b"nonce=-1", FORM),
        (b"nonce=1.5", FORM),
        ("nonce=\u0661".encode(), FORM),
        (b"nonce=" + b"1" * 21, FORM),
        (b"[" * 100_000, JSON),
        (b'{"nonce":' + b"1" * 5000 + b"}", JSON),
        (b'{"nonce":"\\ud800"}', JSON),
        (b'[{"nonce":1}]', JSON),
        (b"\xff\xfe", JSON),
    ],
)
def test_unusable_nonces_are_none(body: bytes, content_type: str) -> None:
    """Missing, double, signed, fractional, over-long and foreign digits are no nonce."""
    assert nonce_of(body, content_type) is None


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "Application/JSON;charset=utf-8"])
def test_json_is_known_whatever_is_said_beside_it(content_type: str) -> None:
    """A charset and the case make no difference."""
    assert nonce_of(b'{"nonce":5}', content_type) == "5"


def test_verify_survives_a_signature_that_is_no_text() -> None:
    """A header with undecodable bytes is simply wrong."""
    assert not verify("/0/private/Balance\udcff", b"nonce=1", FORM, Secret(b"secret"), "\udcff")


def test_signature_is_base64_of_sha512() -> None:
    """The signature has 64 bytes."""
    assert len(binascii.a2b_base64(sign("/", 1, "", Secret(b"k")))) == 64
