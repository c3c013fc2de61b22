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
        aclass: Its class: ``currency``, or ``tokenized_asset`` for a share.
    """

    name: str
    altname: str
    decimals: int
    display_decimals: int
    aclass: str = "currency"

    def described(self) -> dict[str, Any]:
        """Return it as ``Assets`` shows it."""
        return {
            "aclass": self.aclass,
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
        cost_minimum: The smallest cost of an order.
    """

    name: str
    base: Asset
    quote: Asset
    price_decimals: int
    minimum: Decimal
    reference: Decimal
    cost_minimum: Decimal

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
            "aclass_base": self.base.aclass,
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


# What Earn pays for has an asset of its own, with .B after the name.
ASSETS = {
    asset.name: asset
    for asset in (
        Asset("ZUSD", "USD", 4, 2),
        Asset("ZEUR", "EUR", 4, 2),
        Asset("ZCAD", "CAD", 4, 2),
        Asset("XXBT", "XBT", 10, 5),
        Asset("XETH", "ETH", 10, 5),
        Asset("USDT", "USDT", 8, 4),
        Asset("SOL", "SOL", 10, 5),
        Asset("DOT", "DOT", 10, 8),
        Asset("XXLM", "XLM", 8, 5),
        Asset("XBT.B", "XBT.B", 10, 5),
        Asset("DOT.B", "DOT.B", 10, 8),
        Asset("AAPLx", "AAPLx", 10, 5, "tokenized_asset"),
    )
}

# Kraken's smallest costs by quote currency, in 2026.
_COST_MINIMUM = {"ZUSD": "0.5", "ZEUR": "0.45", "ZCAD": "0.6", "USDT": "0.5", "XXBT": "0.00002"}


def _pair(name: str, base: str, quote: str, price_decimals: int, minimum: str, reference: str) -> Pair:
    smallest = Decimal(_COST_MINIMUM[quote])
    return Pair(name, ASSETS[base], ASSETS[quote], price_decimals, Decimal(minimum), Decimal(reference), smallest)


PAIRS = {
    pair.name: pair
    for pair in (
        _pair("XXBTZUSD", "XXBT", "ZUSD", 1, "0.00005", "60000"),
        _pair("XXBTZEUR", "XXBT", "ZEUR", 1, "0.00005", "55000"),
        _pair("XETHZUSD", "XETH", "ZUSD", 2, "0.001", "3000"),
        _pair("XETHZEUR", "XETH", "ZEUR", 2, "0.001", "2750"),
        _pair("XETHXXBT", "XETH", "XXBT", 5, "0.001", "0.05"),
        _pair("XBTUSDT", "XXBT", "USDT", 1, "0.00005", "60000"),
        _pair("SOLUSD", "SOL", "ZUSD", 2, "0.02", "150"),
        _pair("USDTZUSD", "USDT", "ZUSD", 5, "5", "1"),
        _pair("DOTUSD", "DOT", "ZUSD", 4, "1", "4"),
        _pair("DOTEUR", "DOT", "ZEUR", 4, "1", "3.6667"),
        _pair("XXLMZUSD", "XXLM", "ZUSD", 6, "20", "0.3"),
        _pair("ZEURZUSD", "ZEUR", "ZUSD", 5, "0.5", "1.09091"),
        # dali-rp2 0.6.11 learns the names of assets from the bases of the pairs: dollars are the base of one.
        _pair("ZUSDZCAD", "ZUSD", "ZCAD", 5, "5", "1.36"),
        _pair("AAPLxUSD", "AAPLx", "ZUSD", 2, "0.02", "250"),
    )
}


def _with_btc(names: dict[str, Any]) -> dict[str, Any]:
    return names | {name.replace("XBT", "BTC"): value for name, value in names.items()}


_ASSET_NAMES: dict[str, Asset] = {
    name.upper(): asset
    for name, asset in (ASSETS | _with_btc({asset.altname: asset for asset in ASSETS.values()})).items()
}
_PAIR_NAMES: dict[str, Pair] = {
    name.upper(): pair
    for name, pair in (
        PAIRS | _with_btc({name: pair for pair in PAIRS.values() for name in (pair.altname, pair.wsname)})
    ).items()
}


def find_pair(name: str, aclass: str = "currency") -> Pair:
    """Return the pair of any of its names: ``XXBTZUSD``, ``XBTUSD``, ``XBT/USD``, ``BTC/USD``.

    Args:
        name: One of them.
        aclass: The class of its base: pairs of tokenised shares have to be asked for.

    Raises:
        Refused: There is none.
    """
    pair = _PAIR_NAMES.get(name.upper())
    if pair is None or pair.base.aclass != aclass:
        raise Refused("EQuery:Unknown asset pair")
    return pair


def find_asset(name: str, error: str = "EQuery:Unknown asset") -> Asset:
    """Return the asset of any of its names: ``XXBT``, ``XBT``, ``BTC``.

    Args:
        name: One of them.
        error: The error if there is none.

    Raises:
        Refused: There is none.
    """
    asset = _ASSET_NAMES.get(name.upper())
    if asset is None:
        raise Refused(error)
    return asset


def amount_text(asset: str, amount: Decimal) -> str:
    """Return an amount with as many digits as the asset has; an unknown asset keeps its digits."""
    if asset not in ASSETS:
        return format(amount, "f")
    return format(amount.quantize(Decimal(1).scaleb(-ASSETS[asset].decimals), ROUND_DOWN), "f")
