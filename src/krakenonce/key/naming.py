"""Fingerprints: names for API keys that do not reveal the key. Names for the states of accounts with several keys."""

from __future__ import annotations

import functools

ACCOUNT = "account-"  # what the name of an account's rate limits begins with; those of a key have its fingerprint
GLOBAL = "global"  # the lane for all accounts, and the common counter; not an API key


@functools.lru_cache(1024)
def fingerprint(name: str) -> str:
    """Return 16 hexadecimal digits that stand for *name*, such as an API key, in file names, logs and messages."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:16]


def account_state(account: str) -> str:
    """Return the name under which the rate limits of an account with several API keys are kept."""
    import hashlib

    return ACCOUNT + hashlib.sha256(account.encode()).hexdigest()[:12]
