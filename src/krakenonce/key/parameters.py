"""What is refused before a turn and a nonce: what is no method, and parameters of a call that changes something.

Kraken would ignore a parameter whose name has a slip, and trade.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from krakenonce.errors import ConfigError
from krakenonce.key.funding import refuse_funding
from krakenonce.key.methods import METHODS, Kind, orders_in

# Kraken's names, such as Earn/Strategies, and the query strings of custody calls.
_METHOD = re.compile(r"[A-Za-z0-9]+(/[A-Za-z0-9]+)?(\?[!-~]*)?")
_ALWAYS = ("nonce", "otp")
_CLOSE = "ordertype price price2"  # of the conditional close of an order
_BOOLEANS = ("validate", "reduce_only", "post_only", "cancel_response", "new")
_WRITTEN = ("true", "false")
_allowed: defaultdict[str, set[str]] = defaultdict(set)


def checked(method: str) -> str:
    """Return the name of a method. Raises ConfigError if it is none, or a path of Kraken's Funding API."""
    refuse_funding(method)
    if not _METHOD.fullmatch(method):
        raise ConfigError(f"{method!r} is not the name of a Kraken method, such as Balance.")
    return method


def check_parameters(method: str, params: Mapping[str, Any]) -> None:
    """Refuse what Kraken would ignore in a call that changes something, or could read in two ways.

    Args:
        method: Kraken's name of the method. One that is not known, or only reads, may have any parameters.
        params: The parameters.

    Raises:
        ConfigError: The method is none, a name is not one of its parameters, a boolean is neither true nor false, or
            an order of a batch has no parameters; nothing was sent.
    """
    its = METHODS[checked(method)]
    if its.takes is None:
        return
    _check(method, params, its.takes, method)
    for order in orders_in(method, params):
        if isinstance(order, Mapping):
            if its.batch:
                _check(method, order, its.each_takes, f"an order in {method}")
            if isinstance(order.get("close"), Mapping):
                _check(method, order["close"], _CLOSE, f"close in {method}")
        elif its.kind is Kind.ORDER:
            raise ConfigError(f"Not sent: each of the orders in {method} must have its parameters by name.")


def allow_parameters(method: str, *names: str) -> None:
    """Let this process send parameters that Kraken has and krakenonce does not know yet.

    Args:
        method: Kraken's name of the method, such as ``AddOrder``.
        names: The parameters' names; for a batch, those of the call or of its orders.
    """
    _allowed[method].update(names)


def _check(method: str, params: Mapping[str, Any], takes: str, where: str) -> None:
    known = {*takes.split(), *_ALWAYS, *_allowed[method]}
    for name, value in params.items():
        if name not in known:
            import difflib  # needed for errors only

            near = difflib.get_close_matches(str(name), known, 1)
            guess = f"Did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"Not sent: krakenonce knows no parameter {name!r} of {where}. {guess}If Kraken has it, allow it with "
                f"allow_parameters({method!r}, {name!r}), or with --force on the command line."
            )
        # By its type: 1.0 is equal to True, and would be sent as 1.0.
        if name in _BOOLEANS and not (value is None or isinstance(value, bool) or value in _WRITTEN):
            raise ConfigError(f"Not sent: {name} must be true or false, not {value!r}.")
