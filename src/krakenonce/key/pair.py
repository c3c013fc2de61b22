"""An API key with its secret: one, or all of an account, and which pairs must not be sent. No I/O but a warning.

Kraken's secrets are 64 bytes in base64, like the one on its REST authentication page. Its keys are 42, by all that have
been seen; so a pair of another form is only warned about.
"""

from __future__ import annotations

import binascii
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from krakenonce.checks import check_text
from krakenonce.errors import ConfigError
from krakenonce.key.naming import fingerprint
from krakenonce.shown import blind, whole

Otp: TypeAlias = "str | Callable[[], str]"

logger = logging.getLogger("krakenonce")

_KEY = re.compile(r"[A-Za-z0-9+/]{56}")
_SECRET = re.compile(r"[A-Za-z0-9+/]{86}==")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"  # the last four are curly
_warned: set[str] = set()  # fingerprints of the keys that this process has warned about


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """One API key with its secret; it unpacks into key, secret and otp. The repr shows the key's fingerprint alone.

    It is no tuple, because error reports show the parts of a tuple.

    Args:
        key: The API key.
        secret: The private key in base64, as Kraken shows it.
        otp: The key's second factor, if it has one: a password, or a function that returns one for each call.
    """

    key: str
    secret: str
    otp: Otp | None = None

    @whole
    def __repr__(self) -> str:
        return f"<KeyPair {fingerprint(self.key)}>"

    def __iter__(self) -> Iterator[str | Otp | None]:
        return iter((self.key, self.secret, self.otp))


Pair: TypeAlias = "KeyPair | tuple[str, str] | tuple[str, str, Otp | None]"


@blind
def checked_pairs(keys: Iterable[Pair]) -> tuple[KeyPair, ...]:
    """Return all keys of one account.

    Args:
        keys: For each a key and its secret, and its second factor if it has one; or a :class:`KeyPair`.

    Raises:
        ConfigError: There is none, one cannot be used, or one is there twice. The message has its number, from 1.
    """
    given: Any = keys
    listed: list[object] = list(given) if isinstance(given, Iterable) and not isinstance(given, str | KeyPair) else []
    if not listed:
        raise ConfigError("keys must be a list of one or more API keys with their secrets: [(key, secret), ...]")
    found: dict[str, tuple[int, KeyPair]] = {}
    for number, each in enumerate(listed, 1):
        pair = _pair(number, each)
        before, _ = found.setdefault(pair.key, (number, pair))
        if before != number:
            raise ConfigError(f"API keys {before} and {number} are the same key: give each key once")
    return tuple(pair for _, pair in found.values())


def _pair(number: int, given: object) -> KeyPair:
    parts: list[Any] = list(given) if isinstance(given, KeyPair | tuple | list) else []
    if len(parts) not in (2, 3):
        raise ConfigError(f"API key {number} must be given as (key, secret) or (key, secret, otp)")
    names = (f"API key {number}", f"API secret {number}")
    for part, name in zip(parts, names, strict=False):
        check_text(name, part)
        if not part:
            raise ConfigError(f"{name} is missing: give both the key and its secret")
    key, secret, otp = parts if len(parts) == 3 else (*parts, None)
    if otp is not None and not callable(otp):
        check_text(f"otp of API key {number}", otp)
    if wrong := wrong_pair(key, secret, names):
        raise ConfigError(wrong)
    return KeyPair(key, secret, otp)


def wrong_pair(key: str, secret: str, names: tuple[str, str] = ("The API key", "The API secret")) -> str:
    """Return why a key and its secret must not be sent; empty if they may be. It contains no part of them.

    It is returned, not raised: an error keeps the variables of the frames that it went through.

    Args:
        key: The API key.
        secret: Its secret.
        names: What the key and the secret are called in the message.
    """
    if _KEY.fullmatch(key) and _SECRET.fullmatch(secret):  # as Kraken's have
        return ""
    key_is, secret_is = names
    for text, place in ((key, key_is), (secret, secret_is)):
        if text and (text[0] in _QUOTES or text[-1] in _QUOTES):
            return f"{place} is in quotes: remove them. (docker --env-file, unlike a shell, keeps quotes.)"
    if _SECRET.fullmatch(key) and _KEY.fullmatch(secret):
        return f"{key_is} and its secret are swapped: Kraken's keys have 56 characters and its secrets 88."
    if key and key == secret:
        return f"{key_is} and its secret are the same text: copy both from Kraken again."
    if not _is_base64(secret):
        return f"{secret_is} is not base64: copy the whole private key from Kraken again."
    # Fake Krakens, tests and benches use short keys with short secrets. If one half is Kraken's, so is the other.
    key_fits, secret_fits = bool(_KEY.fullmatch(key)), bool(_SECRET.fullmatch(secret))
    if key and secret and key_fits != secret_fits and (shown := fingerprint(key)) not in _warned:
        _warned.add(shown)
        odd, length = (secret_is, 88) if key_fits else (key_is, 56)
        logger.warning("%s does not have %d characters, as Kraken's have: was all of it copied?", odd, length)
    return ""


def _is_base64(secret: str) -> bool:
    """Whether it can be decoded. White space may be in it: other people's clients leave it out, and ours say so."""
    text = "".join(secret.split())
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return len(text) % 4 == 0  # the decoder lets a surplus = pass
