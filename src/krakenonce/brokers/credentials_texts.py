"""What an account's texts must be, wherever they come from. No I/O but a warning.

What is wrong is returned, not raised, and contains no part of them: an account that cannot be used stops no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.key.pair import KeyPair, wrong_pair
from krakenonce.kraken.wire import decode_secret

if TYPE_CHECKING:
    from collections.abc import Sequence


MASTER = "MASTER"
USER = "USER:"
USER_NAME = re.compile(r"[a-z0-9_.-]{1,32}")  # too short for a key put there by mistake

_TIERS = ("starter", "intermediate", "pro", "none")


@dataclass(frozen=True, slots=True)
class KeyTexts:
    """One API key as it was given: its texts, and what messages call them."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    otp: str = field(repr=False)
    key_is: str
    secret_is: str


@dataclass(frozen=True, slots=True)
class Described:
    """An account that can be used: its API keys and its tier."""

    keys: tuple[KeyPair, ...]
    tier: str


def described(keys: Sequence[KeyTexts], tier: str, tier_is: str) -> Described | str:
    """Return the account of these texts, or what is wrong.

    Args:
        keys: Its API keys, one or more.
        tier: Its tier; empty for the default.
        tier_is: What messages call the tier.
    """
    names: dict[str, str] = {}
    for each in keys:
        if wrong := _wrong(each):
            return wrong
        if (first := names.setdefault(each.key, each.key_is)) != each.key_is:
            return f"{first} and {each.key_is} are the same API key; remove one with its secret"
    if tier and tier.lower() not in _TIERS:
        return f"{tier_is} is not one of {', '.join(_TIERS)}; your tier is in the account settings at Kraken"
    return Described(
        tuple(KeyPair(each.key, each.secret, each.otp or None) for each in keys), tier.lower() or "starter"
    )


def _wrong(given: KeyTexts) -> str:
    """Return what is wrong with a key and its secret; empty if nothing is."""
    key, secret, key_is, secret_is = given.key, given.secret, given.key_is, given.secret_is
    if not key or not secret:
        return f"{secret_is if key else key_is} is missing: give both the key and its secret"
    if wrong := wrong_pair(key, secret, (key_is, secret_is)):
        return wrong
    if not re.fullmatch(r"[!-~]+", key):
        return f"{key_is} is not an API key: copy it from Kraken again, without spaces"
    try:
        decode_secret(secret)
    except ConfigError:
        return f"{secret_is} is not base64: copy the whole private key from Kraken again."
    return ""


def name_of(user: str, place: str) -> str:
    """Return the account name of *user*; *place* is where the name was found, for messages. Raises ConfigError."""
    if not USER_NAME.fullmatch(user.lower()):
        raise ConfigError(f"{place} must be 1 to 32 letters, digits or any of _ . -: rename it")
    return USER + user.lower()
