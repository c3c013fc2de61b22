"""A fake Kraken without sockets: accounts, nonce rules, a handful of methods and a log of what arrived.

It answers as Kraken's Spot REST API does. Kraken does not document in which order it checks a request; here
it is key, nonce present, signature, nonce above the last accepted one. A refused request leaves the nonce as
it was; an accepted number stays used, whatever the method then answers.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import decode_secret, is_json, nonce_of, verify
from krakenonce.testing.methods import PRIVATE, PUBLIC, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Arrival", "FakeAccount", "FakeKraken"]

_LARGEST_NONCE = 2**64 - 1  # Kraken's guides call the nonce an unsigned 64-bit integer


@dataclass(slots=True)
class FakeAccount:
    """An API key of the fake Kraken.

    Args:
        name: What the log calls it.
        key: The ``API-Key``.
        secret: Its secret in base64.
        balances: Asset name to amount.
        last_nonce: The largest number accepted so far.
        orders: The open orders, by id.
    """

    name: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    balances: dict[str, str] = field(default_factory=dict)
    last_nonce: int = 0
    orders: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One private request, in the order of arrival.

    Args:
        at: When it was looked at, in seconds since 1970.
        account: Whose key it carried, ``None`` for an unknown key.
        method: Such as ``Balance``.
        nonce: Its number, ``None`` when missing or unreadable.
        accepted: Whether the number was accepted, and thereby used up.
        error: The first error string of the answer; an accepted number may still get one.
        sender_gone: Whether the sender had closed the connection before the request was looked at.
    """

    at: float
    account: str | None
    method: str
    nonce: int | None
    accepted: bool
    error: str | None
    sender_gone: bool


class FakeKraken:
    """The fake Kraken. ``answer`` is to be called by one thread at a time, as the server does."""

    def __init__(self) -> None:
        self.accounts: dict[str, FakeAccount] = {}
        self.arrivals: list[Arrival] = []

    def add_account(
        self,
        name: str,
        key: str | None = None,
        secret: str | None = None,
        balances: Mapping[str, str] | None = None,
    ) -> FakeAccount:
        """Add an API key and return it.

        Args:
            name: What the log calls it.
            key: The API key; ``None`` for a random one of Kraken's format.
            secret: Its secret in base64; ``None`` for a random one of Kraken's format.
            balances: Asset name to amount; ``None`` for none.

        Raises:
            ConfigError: The key exists already, or the secret is not base64.
        """
        key = key or base64.b64encode(secrets.token_bytes(42)).decode()
        secret = secret or base64.b64encode(secrets.token_bytes(64)).decode()
        decode_secret(secret)
        if key in self.accounts:
            raise ConfigError("The fake Kraken has an account with this key already.")
        self.accounts[key] = FakeAccount(name, key, secret, dict(balances or {}))
        return self.accounts[key]

    def accepted(self) -> list[Arrival]:
        """Return the requests whose number was accepted."""
        return [arrival for arrival in self.arrivals if arrival.accepted]

    def invalid_nonces(self) -> list[Arrival]:
        """Return the requests answered with ``EAPI:Invalid nonce``."""
        return [arrival for arrival in self.arrivals if arrival.error == "EAPI:Invalid nonce"]

    def answer(
        self, path_qs: str, headers: Mapping[str, str], body: bytes, now: float, *, sender_gone: bool = False
    ) -> dict[str, Any]:
        """Return Kraken's answer to one request; a private one is logged.

        Args:
            path_qs: The URL path with its query string, as received.
            headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
            body: The body, as received.
            now: Seconds since 1970; nonces are never compared with it.
            sender_gone: For the log only.
        """
        _, version, kind, method = (path_qs.partition("?")[0] + "///").split("/", 3)
        method = method.rstrip("/")
        if (version, kind) == ("0", "private"):
            return self._answer_private(path_qs, method, headers, body, now, sender_gone)
        if (version, kind) == ("0", "public") and method in PUBLIC:
            return {"error": [], "result": PUBLIC[method](now)}
        return {"error": ["EGeneral:Unknown method"]}

    def _answer_private(
        self,
        path_qs: str,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        now: float,
        sender_gone: bool,
    ) -> dict[str, Any]:
        account = self.accounts.get(headers.get("API-Key", ""))
        nonce = _usable(nonce_of(body, headers.get("Content-Type", "")))
        accepted = False
        error = None
        reply: dict[str, Any]
        try:
            owner, number = _checked(account, nonce, path_qs, headers, body)
            owner.last_nonce, accepted = number, True
            handler = PRIVATE.get(method)
            if handler is None:
                raise Refused("EGeneral:Unknown method")
            reply = {
                "error": [],
                "result": handler(owner, _params(body, headers.get("Content-Type", "")), now),
            }
        except Refused as refusal:
            error = str(refusal)
            reply = {"error": [error]}
        name = account.name if account else None
        self.arrivals.append(Arrival(now, name, method, nonce, accepted, error, sender_gone))
        return reply


def _usable(nonce: str | None) -> int | None:
    number = None if nonce is None else int(nonce)
    return number if number is not None and number <= _LARGEST_NONCE else None


def _checked(
    account: FakeAccount | None, nonce: int | None, path_qs: str, headers: Mapping[str, str], body: bytes
) -> tuple[FakeAccount, int]:
    if account is None:
        raise Refused("EAPI:Invalid key")
    if nonce is None:
        raise Refused("EAPI:Invalid nonce")
    content_type, signature = headers.get("Content-Type", ""), headers.get("API-Sign", "")
    if not verify(path_qs, body, content_type, decode_secret(account.secret), signature):
        raise Refused("EAPI:Invalid signature")
    if nonce <= account.last_nonce:
        raise Refused("EAPI:Invalid nonce")
    return account, nonce


def _params(body: bytes, content_type: str) -> dict[str, str]:
    # Only bodies with a readable nonce get here, so the JSON is an object.
    if is_json(content_type):
        fields = json.loads(body, parse_int=str, parse_float=str)
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
