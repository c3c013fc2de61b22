"""Says in the log which of Kraken's methods this version does not know: each once in a process."""

from __future__ import annotations

import logging

from krakenonce.key.methods import METHODS, PUBLIC

logger = logging.getLogger("krakenonce")

_MOST = 50  # names: a program could call random ones
_LONGEST = 64  # characters of a name
_said: dict[str, object] = {}


def say_if_not_known(method: str) -> None:
    """Log that a method is not known, unless it was said before.

    Args:
        method: Kraken's name of a private method that is about to be called.
    """
    name = method.partition("?")[0]
    if name in METHODS or name in PUBLIC or len(_said) >= _MOST:
        return
    mine = object()
    if _said.setdefault(name[:_LONGEST], mine) is not mine:  # one step for all threads
        return
    logger.warning(
        "Kraken's method %s is not known to this version: it is never repeated, its parameters are not checked, and it "
        "counts 1 in the rate limit; at the gateway it needs the group other",
        ascii(name[:_LONGEST])[1:-1],
    )
    if len(_said) >= _MOST:
        logger.warning("%d methods that are not known were called: no more are named here", _MOST)
