"""The API keys of the fake Kraken."""

from __future__ import annotations

import base64
import secrets
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
        ConfigError: The secret is not base64, or a permission is unknown.
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
        self.key = self.key or base64.b64encode(secrets.token_bytes(42)).decode()
        self.secret = self.secret or base64.b64encode(secrets.token_bytes(64)).decode()
        self.permissions = frozenset(self.permissions)
        self.signer = decode_secret(self.secret)
        if not self.permissions <= set(PERMISSIONS):
            raise ConfigError(f"Kraken has no such permissions; it has: {', '.join(PERMISSIONS)}.")

    def is_valid(self, now: float) -> bool:
        """Return whether it is accepted at this time: neither revoked nor expired."""
        return not self.is_revoked and (not self.valid_until or now < self.valid_until)
