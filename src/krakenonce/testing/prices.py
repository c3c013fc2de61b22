"""Prices as orders give them: an amount, or an offset from a market price.

Kraken's REST specification (krakenfx/api-specs 729f278, ``price`` and ``price2`` of AddOrder): ``+`` and ``-`` add to
the last traded price and subtract from it, ``#`` does what fits the order, and ``%`` makes a percentage of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.markets import Pair


_PRICE = re.compile(r"(?P<sign>[+\-#]?)(?P<amount>[0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20}|[0-9.]+[eE][+-]?[0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Price:
    """A price, or an offset from one.

    Args:
        amount: How much.
        sign: Empty for a price; ``+``, ``-`` or ``#`` for an offset.
        is_percent: Whether the offset is a percentage.
    """

    amount: Decimal
    sign: str = ""
    is_percent: bool = False

    @property
    def raw(self) -> str:
        """It as an order gives it, with all its digits."""
        return f"{self.sign}{self.amount:f}{'%' * self.is_percent}"

    def text(self, pair: Pair) -> str:
        """Return it as Kraken shows it, such as ``37500.0``, ``+50.0`` or ``-1.5000%``."""
        return self.sign + (f"{self.amount:.4f}%" if self.is_percent else pair.price_text(self.amount))

    def on(self, base: Decimal, pair: Pair, *, is_up: bool) -> Decimal:
        """Return the price that it means.

        Args:
            base: The price that an offset is from.
            pair: Its tick is what an offset is rounded to.
            is_up: Whether ``#`` adds.
        """
        if not self.sign:
            return self.amount
        offset = base * self.amount / 100 if self.is_percent else self.amount
        is_added = self.sign == "+" or (self.sign == "#" and is_up)
        return (base + offset if is_added else base - offset).quantize(pair.tick)


def price_in(params: Mapping[str, Any], name: str, signs: str = "+-#", *, may_be_absolute: bool = True) -> Price:
    """Return the price of a parameter.

    Args:
        params: The parameters.
        name: Such as ``price2``.
        signs: Those that an offset may have.
        may_be_absolute: Whether a price without a sign is accepted.

    Raises:
        Refused: It is missing, or no such price.
    """
    text = params.get(name, "")
    is_text = isinstance(text, str)
    found = _PRICE.fullmatch(text.removesuffix("%")) if is_text else None
    if found is None:
        raise invalid(name)
    sign, is_percent = found["sign"], text.endswith("%")
    try:
        amount = Decimal(found["amount"])
    except ArithmeticError:
        raise invalid(name) from None
    is_known = sign in signs if sign else may_be_absolute and not is_percent and amount > 0
    if not is_known or (amount and not -20 < amount.adjusted() < 20):
        raise invalid(name)
    return Price(amount, sign, is_percent)
