"""The messages of Kraken's WebSocket API v2: its names, times and numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from krakenonce.testing.markets import PAIRS, Asset, Pair
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, Any]

LOT = Decimal("0.00000001")


class Channel(Protocol):
    """A subscription to one channel, for one symbol if the channel has symbols.

    ``described`` is what the answer to the subscription says about it.
    """

    described: Message

    def first(self, now: float) -> list[Message]:
        """Return the snapshot: one message, or none if it was not asked for."""

    def changes(self, now: float) -> list[Message]:
        """Return the updates since the last call."""


def short_name(asset: Asset) -> str:
    """Return the name of an asset in this API: ``BTC``, not ``XXBT`` or ``XBT``."""
    return asset.altname.replace("XBT", "BTC")


def symbol_of(pair: Pair) -> str:
    """Return the name of a pair in this API, such as ``BTC/USD``."""
    return f"{short_name(pair.base)}/{short_name(pair.quote)}"


_SYMBOLS = {symbol_of(pair): pair for pair in PAIRS.values()}


def pair_of(symbol: object) -> Pair:
    """Return the pair of a symbol.

    Raises:
        Refused: There is none, or it is a name of the older APIs, such as ``XBT/USD``.
    """
    if not isinstance(symbol, str) or symbol not in _SYMBOLS:
        raise Refused(f"Currency pair not supported {symbol}")
    return _SYMBOLS[symbol]


def rfc3339(moment: float) -> str:
    """Return a time as Kraken writes it, with microseconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(text: str) -> Message:
    """Return the object of a message, with numbers as ``int`` and ``Decimal``.

    Raises:
        Refused: It is not a JSON object.
    """
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused("Malformed request")
    return found


def _no_number(name: str) -> None:
    raise ValueError(name)


def to_json(value: object) -> str:
    """Return JSON in which a ``Decimal`` is a number with all its digits, also zeros at the end."""
    match value:
        case Decimal():
            return format(value, "f")
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{to_json(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value)


def entries(channel: str, kind: str, data: Sequence[Message], **more: object) -> Message:
    """Return a message of a channel: *kind* is ``snapshot`` or ``update``."""
    return {"channel": channel, "type": kind, "data": list(data), **more}
