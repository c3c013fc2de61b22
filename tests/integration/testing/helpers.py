"""Signed calls, as bytes, to the fake itself, and over HTTP."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import urllib3

from tests.integration.kraken.helpers import signed

if TYPE_CHECKING:
    from krakenonce.testing import ApiKey, FakeAccount, FakeKraken

NOW = 1_700_000_000.25
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1.25", "price": "37500"}


class Caller:
    """Calls the fake itself, at the time ``now``, with rising nonces of the account's first key, or of another."""

    def __init__(self, fake: FakeKraken, account: FakeAccount, now: float = NOW, key: ApiKey | None = None) -> None:
        self.fake, self.account, self.now, self.key = fake, account, now, key or account.keys[0]

    def reply(self, method: str, /, as_json: bool = False, hidden_for: float = 0.0, **params: object) -> dict[str, Any]:
        """Return the whole answer. A form leaves out what is None."""
        if not as_json:
            params = {name: value for name, value in params.items() if value is not None}
        request = signed(self.key, method, self.key.last_nonce + 1, params, as_json=as_json)
        return self.fake.answer(*request, self.now, hidden_for=hidden_for)

    def result(self, method: str, /, **params: Any) -> Any:
        """Return the result of a call that has to succeed."""
        reply = self.reply(method, **params)
        assert reply["error"] == []
        return reply["result"]

    def error(self, method: str, /, **params: Any) -> str:
        """Return the error of a call that has to fail."""
        reply = self.reply(method, **params)
        assert list(reply) == ["error"]
        (error,) = reply["error"]
        return str(error)

    def place(self, **params: Any) -> str:
        """Place an order and return its id."""
        (txid,) = self.result("AddOrder", **{**ORDER, **params})["txid"]
        return str(txid)

    def look(self, txid: str) -> dict[str, Any]:
        """Return an order as QueryOrders shows it."""
        return dict(self.result("QueryOrders", txid=txid)[txid])

    def public(self, method: str, query: str = "") -> Any:
        """Return the result of a public call that has to succeed."""
        reply = self.fake.answer(f"/0/public/{method}?{query}", {}, b"", self.now)
        assert reply["error"] == [], reply
        return reply["result"]


class Wire:
    """Sends each call once over HTTP, with rising nonces."""

    def __init__(self, url: str, account: FakeAccount | ApiKey) -> None:
        self.url, self.account = url, account
        self._nonces = itertools.count(account.last_nonce + 1)

    def send(self, method: str, **params: object) -> urllib3.BaseHTTPResponse:
        """Return the response, whatever it is.

        Raises:
            ProtocolError: The connection was cut.
        """
        path, headers, body = signed(self.account, method, next(self._nonces), params)
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request("POST", self.url + path, headers=headers, body=body)

    def reply(self, method: str, **params: object) -> dict[str, Any]:
        """Return the answer of a call that Kraken answers with JSON."""
        response = self.send(method, **params)
        assert response.status == 200
        return dict(response.json())

    def control(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer of one of the fake's own paths."""
        with urllib3.PoolManager(retries=False) as pool:
            data = None if body is None else json.dumps(body)
            response = pool.request(verb, f"{self.url}/fake/{path}", body=data)
            return response.status, response.json()
