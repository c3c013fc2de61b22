"""The assets and pairs of the fake Kraken, and the names that Kraken accepts for each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from krakenonce.testing.request import Refused


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that an account can hold.

    Args:
        name: Kraken's own name, such as ``XXBT``.
        altname: The usual name, such as ``XBT``.
        decimals: Digits after the point in balances.
        display_decimals: Digits after the point on Kraken's website.
    """

    name: str
    altname: str
    decimals: int
    display_decimals: int

    def described(self) -> dict[str, Any]:
        """Return it as ``Assets`` shows it."""
        return {
            "aclass": "currency",
            "altname": self.altname,
            "decimals": self.decimals,
            "display_decimals": self.display_decimals,
            "status": "enabled",
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A currency pair.

    Args:
        name: Kraken's own name, such as ``XXBTZUSD``.
        base: The asset that is bought and sold.
        quote: The asset that it is paid with.
        price_decimals: Digits after the point in prices.
        minimum: The smallest volume of an order.
        reference: The price at the start.
    """

    name: str
    base: Asset
    quote: Asset
    price_decimals: int
    minimum: Decimal
    reference: Decimal

    cost_minimum = Decimal("0.00001")

    @property
    def altname(self) -> str:
        """Such as ``XBTUSD``."""
        return self.base.altname + self.quote.altname

    @property
    def wsname(self) -> str:
        """Such as ``XBT/USD``."""
        return f"{self.base.altname}/{self.quote.altname}"

    @property
    def tick(self) -> Decimal:
        """The smallest difference between prices."""
        return Decimal(1).scaleb(-self.price_decimals)

    def price_text(self, price: Decimal) -> str:
        """Return a price with as many digits as the pair has."""
        return format(price.quantize(self.tick), "f")

    def cost_text(self, cost: Decimal) -> str:
        """Return an amount of the quote currency as orders and trades show it."""
        return format(cost.quantize(Decimal("0.00001"), ROUND_DOWN), "f")

    def described(self) -> dict[str, Any]:
        """Return it as ``AssetPairs`` shows it."""
        return {
            "altname": self.altname,
            "wsname": self.wsname,
            "aclass_base": "currency",
            "base": self.base.name,
            "aclass_quote": "currency",
            "quote": self.quote.name,
            "lot": "unit",
            "cost_decimals": 5,
            "pair_decimals": self.price_decimals,
            "lot_decimals": 8,
            "lot_multiplier": 1,
            "leverage_buy": [],
            "leverage_sell": [],
            "fees": [[0, 0.26]],
            "fees_maker": [[0, 0.16]],
            "fee_volume_currency": "ZUSD",
            "margin_call": 80,
            "margin_stop": 40,
            "ordermin": format(self.minimum, "f"),
            "costmin": format(self.cost_minimum, "f"),
            "tick_size": format(self.tick, "f"),
            "status": "online",
        }


ASSETS = {
    asset.name: asset
    for asset in (
        Asset("ZUSD", "USD", 4, 2),
        Asset("ZEUR", "EUR", 4, 2),
        Asset("XXBT", "XBT", 10, 5),
        Asset("XETH", "ETH", 10, 5),
        Asset("USDT", "USDT", 8, 4),
        Asset("SOL", "SOL", 10, 5),
    )
}


def _pair(name: str, base: str, quote: str, price_decimals: int, minimum: str, reference: str) -> Pair:
    return Pair(name, ASSETS[base], ASSETS[quote], price_decimals, Decimal(minimum), Decimal(reference))


PAIRS = {
    pair.name: pair
    for pair in (
        _pair("XXBTZUSD", "XXBT", "ZUSD", 1, "0.00001", "60000"),
        _pair("XXBTZEUR", "XXBT", "ZEUR", 1, "0.00001", "55000"),
        _pair("XETHZUSD", "XETH", "ZUSD", 2, "0.001", "3000"),
        _pair("XETHZEUR", "XETH", "ZEUR", 2, "0.001", "2750"),
        _pair("XETHXXBT", "XETH", "XXBT", 5, "0.001", "0.05"),
        _pair("XBTUSDT", "XXBT", "USDT", 1, "0.00001", "60000"),
        _pair("SOLUSD", "SOL", "ZUSD", 2, "0.02", "150"),
        _pair("USDTZUSD", "USDT", "ZUSD", 5, "5", "1"),
    )
}


def _with_btc(names: dict[str, Any]) -> dict[str, Any]:
    return names | {name.replace("XBT", "BTC"): value for name, value in names.items()}


_ASSET_NAMES: dict[str, Asset] = ASSETS | _with_btc({asset.altname: asset for asset in ASSETS.values()})
_PAIR_NAMES: dict[str, Pair] = PAIRS | _with_btc(
    {name: pair for pair in PAIRS.values() for name in (pair.altname, pair.wsname)}
)


def find_pair(name: str) -> Pair:
    """Return the pair of any of its names: ``XXBTZUSD``, ``XBTUSD``, ``XBT/USD``, ``BTC/USD``.

    Raises:
        Refused: There is none.
    """
    if name.upper() not in _PAIR_NAMES:
        raise Refused("EQuery:Unknown asset pair")
    return _PAIR_NAMES[name.upper()]


def find_asset(name: str, error: str = "EQuery:Unknown asset") -> Asset:
    """Return the asset of any of its names: ``XXBT``, ``XBT``, ``BTC``.

    Args:
        name: One of them.
        error: The error if there is none.

    Raises:
        Refused: There is none.
    """
    if name.upper() not in _ASSET_NAMES:
        raise Refused(error)
    return _ASSET_NAMES[name.upper()]


def amount_text(asset: str, amount: Decimal) -> str:
    """Return an amount with as many digits as the asset has; an unknown asset keeps its digits."""
    if asset not in ASSETS:
        return format(amount, "f")
    return format(amount.quantize(Decimal(1).scaleb(-ASSETS[asset].decimals), ROUND_DOWN), "f")
