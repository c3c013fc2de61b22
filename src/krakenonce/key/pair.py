"""An API key with its secret: which pairs must not be sent. No I/O but a warning.

Kraken's secrets are 64 bytes in base64, like the one on its REST authentication page. Its keys are 42, by all that have
been seen; so a pair of another form is only warned about.
"""

from __future__ import annotations

import logging
import re

from krakenonce.key.naming import fingerprint

logger = logging.getLogger("krakenonce")

_KEY = re.compile(r"[A-Za-z0-9+/]{56}")
_SECRET = re.compile(r"[A-Za-z0-9+/]{86}==")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"  # the last four are curly
_warned: set[str] = set()  # fingerprints of the keys that this process has warned about


def wrong_pair(key: str, secret: str, names: tuple[str, str] = ("The API key", "The API secret")) -> str:
    """Return why a key and its secret must not be sent; empty if they may be. It contains no part of them.

    It is returned, not raised: an error keeps the variables of the frames that it went through.

    Args:
        key: The API key.
        secret: Its secret.
        names: What the key and the secret are called in the message.
    """
    key_is, secret_is = names
    for text, place in ((key, key_is), (secret, secret_is)):
        if text and (text[0] in _QUOTES or text[-1] in _QUOTES):
            return f"{place} is in quotes: remove them. (docker --env-file, unlike a shell, keeps quotes.)"
    if _SECRET.fullmatch(key) and _KEY.fullmatch(secret):
        return f"{key_is} and its secret are swapped: Kraken's keys have 56 characters and its secrets 88."
    if key and key == secret:
        return f"{key_is} and its secret are the same text: copy both from Kraken again."
    # Fake Krakens, tests and benches use short keys with short secrets. If one half is Kraken's, so is the other.
    key_fits, secret_fits = bool(_KEY.fullmatch(key)), bool(_SECRET.fullmatch(secret))
    if key and secret and key_fits != secret_fits and (shown := fingerprint(key)) not in _warned:
        _warned.add(shown)
        odd, length = (secret_is, 88) if key_fits else (key_is, 56)
        logger.warning("%s does not have %d characters, as Kraken's have: was all of it copied?", odd, length)
    return ""
