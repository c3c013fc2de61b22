"""Kraken's Funding API (beta), ``/funding/v1/...``: refused everywhere, until it is known how its calls are signed.

Kraken's guide to it (docs.kraken.com, mid-2026) says that its nonce is in the header ``API-Nonce``, and that it takes
the same keys. Whether that nonce shares the counter of the nonce in a body it does not say. So a call that went out
without a turn could make Kraken refuse the key's other calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


NONCE_HEADER = "API-Nonce"
WHY = (
    f"Kraken's Funding API (/funding/v1, its nonce in the header {NONCE_HEADER}) is not supported: it is not known how "
    "its calls are signed, nor whether they share the key's nonces. Use Kraken's methods, such as Withdraw and "
    "DepositStatus"
)

_NONCE_HEADER = NONCE_HEADER.lower()
_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_ENCODED = 3  # how often a path may be percent-encoded


def is_funding(path: str, headers: Iterable[str] = ()) -> bool:
    """Return whether a call is one of the Funding API's, however its path is written.

    Args:
        path: A method's name, a path or a whole URL.
        headers: The names of its headers.
    """
    for name in headers:
        if str(name).lower() == _NONCE_HEADER:
            return True
    if "%" not in path and "funding" not in path.lower():  # as nearly all calls
        return False
    path = re.split("[?#]", _HOST.sub("", path, count=1))[0]
    for _ in range(_ENCODED):
        path = unquote(path)
    parts = path.replace("\\", "/").lower().split("/")
    return "funding" in [part.strip() for part in parts]


def refuse_funding(path: object, headers: Iterable[str] = ()) -> None:
    """Raise ConfigError for a call of the Funding API; see :func:`is_funding`."""
    if is_funding(str(path), headers):
        raise ConfigError(f"Not sent: {WHY}.")
