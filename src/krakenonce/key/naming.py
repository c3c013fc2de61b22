"""Names that say which key without telling the key."""

from __future__ import annotations

__all__ = ["GLOBAL", "fingerprint"]

GLOBAL = "global"  # the lane that is for everybody, and no API key


def fingerprint(name: str) -> str:
    """Return 16 hexadecimal digits that stand for *name* (an API key, say) in file names, logs and messages."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:16]
