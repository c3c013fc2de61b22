"""Where calls go: the base URL that was given, else that of the environment, else Kraken's."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from krakenonce.errors import ConfigError
from krakenonce.kraken.proxy import is_here
from krakenonce.kraken.request import KRAKEN, host_of

VARIABLE = "KRAKENONCE_BASE_URL"
DEFAULT = f"${VARIABLE}"  # not None: what a program reads from a variable that is not set must not lead to Kraken


def base_url_of(given: str) -> str:
    """Return the base URL of a client or a command.

    Args:
        given: What the caller asks for; ``DEFAULT``: what the variable has, and Kraken itself if it is not set.

    Raises:
        ConfigError: The variable has no http or https address, or one with http on another machine: the variable
            redirects calls whose program does not know of it, and on the way anybody could read them.
    """
    if given != DEFAULT:
        return given
    found = os.environ.get(VARIABLE, "").strip()
    if not found:
        return KRAKEN
    try:
        host_of(found)
    except ConfigError as error:
        raise ConfigError(f"${VARIABLE} cannot be used. {error}") from None
    address = urlsplit(found)
    if address.scheme == "http" and not is_here(address.hostname or ""):
        raise ConfigError(
            f"${VARIABLE} must be an https address, because {address.hostname} is another machine: anybody on the way "
            "could read the calls and keep them back. Nothing was sent."
        )
    return found
