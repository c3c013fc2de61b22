from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.kraken.wire import FORM, JSON
from krakenonce.testing.request import unpack
from tests.integration.kraken.helpers import signed
from tests.integration.testing.helpers import NOW, ORDER, Wire

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken


@pytest.mark.parametrize("as_json", [False, True])
def test_a_request_is_unpacked_once(fake: FakeKraken, account: FakeAccount, as_json: bool) -> None:
    """Whatever answers a request has it from the unpacked value: it does not look at the headers again."""
    request = unpack(*signed(account, "AddOrder", 7, ORDER, as_json=as_json), NOW)
    assert fake.answer_to(replace(request, headers={}))["error"] == []
    assert (fake.arrivals[0].account, fake.arrivals[0].nonce, len(account.orders)) == ("bot", 7, 1)


@pytest.mark.parametrize(
    ("path", "kind", "method"),
    [
        ("/0/private/Balance", "private", "Balance"),
        ("/0/private/Balance/?id=1", "private", "Balance"),
        ("/0/private/Earn/Strategies", "private", "Earn/Strategies"),
        ("/0/public/Time", "public", "Time"),
        ("/1/private/Balance", "", "Balance"),
        ("/elsewhere", "", ""),
        ("", "", ""),
    ],
)
def test_the_path_says_what_is_called(path: str, kind: str, method: str) -> None:
    """Kraken's names have a slash in them where they have one, and what is elsewhere is no method of the API."""
    request = unpack(path, {}, b"", NOW)
    assert (request.kind, request.method) == (kind, method)


@pytest.mark.parametrize(
    ("content_type", "body", "nonce", "params"),
    [
        (FORM, b"nonce=5&a=1&b=", 5, {"nonce": "5", "a": "1", "b": ""}),
        (FORM, b"nonce=5&close[ordertype]=limit", 5, {"nonce": "5", "close": {"ordertype": "limit"}}),
        (FORM, b"nonce=5&nonce=6", None, {"nonce": "6"}),
        (FORM, b"", None, {"asked": "here"}),
        ("", b"nonce=18446744073709551615", 2**64 - 1, {"nonce": "18446744073709551615"}),
        ("", b"nonce=18446744073709551616", None, {"nonce": "18446744073709551616"}),
        (JSON, b'{"nonce": 5, "a": [1, 1.50, true, null]}', 5, {"nonce": "5", "a": ["1", "1.50", "true", None]}),
        (JSON, b'{"nonce": "5", "a": null}', 5, {"nonce": "5"}),
        (JSON, b'{"nonce": 5.0}', None, {"nonce": "5.0"}),
        (JSON, b"[5]", None, {}),
        (JSON, b"{", None, {}),
    ],
)
def test_the_body_says_nonce_and_parameters(
    content_type: str, body: bytes, nonce: int | None, params: dict[str, Any]
) -> None:
    """Forms and JSON: numbers are the text they are; a body without a readable nonce is a request, too."""
    request = unpack("/0/private/Balance?asked=here", {"Content-Type": content_type}, body, NOW)
    assert (request.nonce, request.params) == (nonce, params)


def test_a_fault_names_a_method_as_kraken_does(fake: FakeKraken, wire: Wire) -> None:
    """Earn's methods have a folder in their name."""
    fake.faults.add("Earn/Strategies", "html")
    assert wire.send("Strategies").status == 200
    assert wire.send("Earn/Strategies").status == 502
