"""Fingerprints: names for API keys that do not reveal the key."""

from __future__ import annotations

GLOBAL = "global"  # the lane for all accounts, and the common counter; not an API key


def fingerprint(name: str) -> str:
    """Return 16 hexadecimal digits that stand for *name*, such as an API key, in file names, logs and messages."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:16]
