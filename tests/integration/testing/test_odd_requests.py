from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from krakenonce.testing.private import PRIVATE
from krakenonce.testing.public import PUBLIC
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken

NAMES = [
    *(*ORDER, "txid", "cl_ord_id", "userref", "oflags", "timeinforce", "expiretm", "starttm", "deadline", "close"),
    *("start", "end", "ofs", "asset", "id", "key", "amount", "refid", "from", "to", "orders", "cl_ord_ids", "timeout"),
    *("order_qty", "limit_price", "validate", "trades", "leverage", "otp", "since", "interval", "count"),
]
ODD: list[Any] = [[], {}, ["x"], {"x": ["y"]}, [[1]], "", "x", "-1", "0", "1e400", "NaN", "é\x00", 1, 1.5, True, None]


@pytest.mark.parametrize("method", [*PRIVATE, "Guess"])
def test_odd_parameters_are_answered(caller: Caller, method: str) -> None:
    """Whatever a parameter holds, the answer has Kraken's form."""
    txid = caller.place()
    usual = {**ORDER, "txid": txid, "id": "L", "asset": "XBT", "key": "k", "amount": "1", "from": "a", "to": "b"}
    usual |= {"timeout": "1"}
    for name in NAMES:
        for value in ODD:
            reply = caller.reply(method, as_json=True, **{**usual, name: value})
            assert isinstance(reply["error"], list)
            assert ("result" in reply) == (reply["error"] == [])


@pytest.mark.parametrize("method", [*PUBLIC, "Guess"])
def test_odd_public_parameters_are_answered(fake: FakeKraken, method: str) -> None:
    """The same without a key, also for a body that is no JSON."""
    headers = {"Content-Type": "application/json"}
    for name in ("pair", "asset", "since", "interval", "count"):
        for value in ODD:
            body = json.dumps({"pair": "XBTUSD", name: value}).encode()
            assert isinstance(fake.answer(f"/0/public/{method}", headers, body, NOW)["error"], list)
    assert isinstance(fake.answer(f"/0/public/{method}", headers, b"[", NOW)["error"], list)


def test_the_command_takes_the_rules() -> None:
    """A fake Kraken at the terminal can be as strict as one in a test."""
    command = [sys.executable, "-m", "krakenonce", "fake-kraken", "--json", "--tier", "starter", "--lockout", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        rules = urllib3.request("GET", f"{url}/fake/rules").json()
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert (rules["tier"], rules["lockout_after"], process.returncode) == ("starter", 3, 0)
