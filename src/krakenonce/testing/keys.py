"""The API keys of the fake Kraken."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import decode_secret

if TYPE_CHECKING:
    from krakenonce.kraken.wire import Secret
    from krakenonce.testing.accounts import FakeAccount

PERMISSIONS = (
    "query-funds",
    "add-funds",
    "withdraw-funds",
    "earn-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "export-data",
    "create-ws-token",
    "add-withdraw-address",
    "update-withdraw-address",
)


@dataclass(slots=True, eq=False, kw_only=True)
class ApiKey:
    """An API key of an account.

    Args:
        account: The account; its keys share its funds, orders and trades.
        name: Its name in the log and in GetApiKeyInfo.
        key: The ``API-Key``; empty for a random one of Kraken's format.
        secret: Its secret in base64; empty for a random one of Kraken's format.
        permissions: What it may do, named as in GetApiKeyInfo.
        otp: The second factor that each call needs, ``None`` for none.
        nonce_window: Nonces above ``last_nonce`` minus this are accepted, too; 0 for none.
        last_nonce: The largest nonce accepted so far.
        valid_until: When it expires, in seconds since 1970; 0 for never.
        created: When it was made, in seconds since 1970.
        is_revoked: Whether it was revoked; it is not accepted any more then.
        ws_tokens: When each WebSocket token was issued; one that is removed is not accepted any more.
        signer: What signs with the secret.

    Raises:
        ConfigError: The secret is not base64, a permission is unknown, or a value cannot be used.
    """

    account: FakeAccount = field(repr=False)
    name: str
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    permissions: frozenset[str] = field(default=frozenset(PERMISSIONS), repr=False)
    otp: str | None = field(default=None, repr=False)
    nonce_window: int = 0
    last_nonce: int = 0
    valid_until: float = 0.0
    created: float = 0.0
    is_revoked: bool = False
    ws_tokens: dict[str, float] = field(default_factory=dict, repr=False)
    signer: Secret = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()
        self.key = self.key or base64.b64encode(secrets.token_bytes(42)).decode()
        self.secret = self.secret or base64.b64encode(secrets.token_bytes(64)).decode()
        self.permissions = frozenset(self.permissions)
        self.signer = decode_secret(self.secret)
        if not self.permissions <= set(PERMISSIONS):
            raise ConfigError(f"Kraken has no such permissions; it has: {', '.join(PERMISSIONS)}.")

    def _check(self) -> None:
        names: object = self.permissions
        are_names = isinstance(names, Collection) and {type(name) for name in names} <= {str}
        rules = {
            "name, key and secret must be texts": {type(self.name), type(self.key), type(self.secret)} == {str},
            "otp must be a text": self.otp is None or type(self.otp) is str,
            "last_nonce must be an integer, 0 or more": type(self.last_nonce) is int and self.last_nonce >= 0,
            "nonce_window must be an integer, 0 or more": type(self.nonce_window) is int and self.nonce_window >= 0,
            "valid_until must be seconds since 1970": type(self.valid_until) in (int, float) and self.valid_until >= 0,
            "permissions must be a list of names": are_names and not isinstance(names, str),
        }
        for rule, is_met in rules.items():
            if not is_met:
                raise ConfigError(f"This API key cannot be added: {rule}.")

    def is_valid(self, now: float) -> bool:
        """Return whether it is accepted at this time: neither revoked nor expired."""
        return not self.is_revoked and (not self.valid_until or now < self.valid_until)
