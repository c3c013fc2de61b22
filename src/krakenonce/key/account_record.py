"""Which keys of an account the programs on a state have used lately: a record that they share.

With it, a program finds out that another one knows other keys of the same account, or has it under another name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from krakenonce.errors import RecordChanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from krakenonce.backends.protocol import Records


LATELY = 86_400.0  # seconds; a key that was not used for longer may have been replaced
_WRITTEN_AGAIN = 3600.0  # seconds after which a key is noted once more
_TRIES = 10


def account_name(number: str, keys: Sequence[str]) -> str:
    """Return the name under which an account's rate limits and keys are kept.

    Args:
        number: Kraken's number of the account; empty if it is not known.
        keys: The fingerprints of the keys that are known. Without a number the first of them by name stands for it.
    """
    return f"account-{hashlib.sha256((number or min(keys)).encode()).hexdigest()[:16]}"


def other_keys(records: Records, account: str, keys: Sequence[str], now: float) -> list[str]:
    """Note that these keys of an account are in use; return the fingerprints of others that were used lately.

    Args:
        records: The records of the state.
        account: The name from :func:`account_name`.
        keys: The fingerprints of the keys that this program uses.
        now: Seconds since 1970.

    Raises:
        NonceStoreError: The record cannot be read or written.
    """
    lately: dict[str, float] = {}
    for _ in range(_TRIES):
        before = records.read(account)
        lately = {key: at for key, at in _read(before).items() if abs(now - at) < LATELY}
        if all(abs(now - lately.get(key, 0.0)) < _WRITTEN_AGAIN for key in keys):
            break
        with contextlib.suppress(RecordChanged):
            records.write(account, json.dumps({**lately, **dict.fromkeys(keys, now)}).encode(), before)
            break
    return sorted(lately.keys() - set(keys))


def _read(data: bytes | None) -> dict[str, float]:
    try:
        used = json.loads(data or b"{}")
        return {str(key): float(at) for key, at in used.items()}
    except (ValueError, TypeError, AttributeError):  # damaged: it is written anew
        return {}
