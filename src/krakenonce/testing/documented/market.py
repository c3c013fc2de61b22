"""Kraken's public methods."""

from __future__ import annotations

from typing import Any

from krakenonce.testing.documented.notation import Method, OneOf, method

# With assetVersion=1 answers have names such as BTC in place of XXBT. An asset class has to be named for pairs that
# are no currencies; Kraken's own client (kraken-cli) sends forex, too.
_CLASS = "-assetVersion {1}\n asset_class {tokenized_asset|forex}"

_LEVEL = ("decimal", "decimal", "int")  # price, volume, time
_GROUPED: dict[str, Any] = {"price": "decimal", "qty": "decimal"}

ASSET: dict[str, Any] = {
    "aclass": "text",
    "altname": "text",
    "decimals": "int",
    "display_decimals": "int",
    "collateral_value?": "number",
    "status": "{enabled|deposit_only|withdrawal_only|funding_temporarily_disabled}",
}

PAIR: dict[str, Any] = {
    "altname": "text",
    "wsname": "text",
    "aclass_base": "text",
    "base": "text",
    "aclass_quote": "text",
    "quote": "text",
    "lot": "text",
    "cost_decimals": "int",
    "pair_decimals": "int",
    "lot_decimals": "int",
    "lot_multiplier": "int",
    "leverage_buy": ["int"],
    "leverage_sell": ["int"],
    "fees": [("number", "number")],
    "fees_maker": [("number", "number")],
    "fee_volume_currency": "text",
    "margin_call": "int",
    "margin_stop": "int",
    "ordermin": "decimal",
    "costmin": "decimal",
    "tick_size": "decimal",
    "status": "{online|cancel_only|post_only|limit_only|reduce_only}",
    "long_position_limit?": "int",
    "short_position_limit?": "int",
}

_PAIR_FEES = {"fees": PAIR["fees"], "fees_maker": PAIR["fees_maker"], "fee_volume_currency": "text"}
_PAIR_FORMS = (
    PAIR,
    {"leverage_buy": ["int"], "leverage_sell": ["int"]},
    _PAIR_FEES,
    {"margin_call": "int", "margin_stop": "int"},
)

TICK: dict[str, Any] = {
    "a": ("decimal", "decimal", "decimal"),
    "b": ("decimal", "decimal", "decimal"),
    "c": ("decimal", "decimal"),
    "v": ("decimal", "decimal"),
    "p": ("decimal", "decimal"),
    "t": ("int", "int"),
    "l": ("decimal", "decimal"),
    "h": ("decimal", "decimal"),
    "o": "decimal",
}

_CANDLE = ("int", "decimal", "decimal", "decimal", "decimal", "decimal", "decimal", "int")
_TRADE = ("decimal", "decimal", "number", "{b|s}", "{m|l}", "text", "int")

_TRANSPARENT = {  # what PreTrade and PostTrade say of a pair
    "symbol": "text",
    "description": "text",
    "base_asset": "text",
    "base_dti_code?": "text",
    "base_dti_short_name?": "text",
    "quote_asset": "text",
    "quote_dti_code?": "text",
    "quote_dti_short_name?": "text",
    "quote_notation": "{MONE}",
}


def _pre_trade_level(side: str) -> dict[str, Any]:
    times = {"submission_ts": "text", "publication_ts": "text"}
    return {"side": f"{{{side}}}", "price": "decimal", "qty": "decimal", "count": "int", **times}


PRE_TRADE: dict[str, Any] = {
    **_TRANSPARENT,
    "base_notation": "{NOML}",
    "venue": "text",
    "system": "{CLOB}",
    "bids": [_pre_trade_level("BUY")],
    "asks": [_pre_trade_level("SELL")],
}

POST_TRADE: dict[str, Any] = {
    **_TRANSPARENT,
    "trade_id": "text",
    "price": "decimal",
    "quantity": "decimal",
    "base_notation": "{UNIT}",
    "trade_venue": "text",
    "trade_ts": "text",
    "publication_venue": "text",
    "publication_ts": "text",
}

_STATUS = {
    "status": "{online|maintenance|cancel_only|post_only}",
    "timestamp": "text",
    "upcoming_maintenance?": "any",  # of the next 72 hours; no source that we know shows one
    "emergency?": "any",
}


def _public(name: str, takes: str, answer: Any, *, is_simulated: bool = True) -> Method:
    return method(name, "", takes, answer, is_simulated=is_simulated)


MARKET = (
    _public("Time", "", {"unixtime": "int", "rfc1123": "text"}),
    _public("SystemStatus", "", _STATUS),
    _public("MaintenanceSchedule", "", "any", is_simulated=False),
    _public("Assets", "asset texts\n aclass {currency|tokenized_asset|forex}\n -assetVersion {1}", {"*": ASSET}),
    _public(
        "AssetPairs",
        "pair texts\n aclass_base {currency|tokenized_asset|forex}\n info {info|leverage|fees|margin}\n"
        "-country_code text\n -assetVersion {1}",
        OneOf({"*": form} for form in _PAIR_FORMS),
    ),
    _public("Ticker", f"pair texts\n {_CLASS}", {"*": TICK}),
    _public(
        "OHLC",
        f"pair! text\n interval {{1|5|15|30|60|240|1440|10080|21600}}\n since time\n {_CLASS}",
        {"*": [_CANDLE], "last": "int"},
    ),
    _public("Depth", f"pair! text\n count integer 1..500\n {_CLASS}", {"*": {"asks": [_LEVEL], "bids": [_LEVEL]}}),
    _public(
        "GroupedBook",
        "pair! text\n depth {10|25|100|250|1000}\n grouping {1|5|10|25|50|100|250|500|1000}\n -assetVersion {1}",
        {"pair": "text", "grouping": "int", "bids": [_GROUPED], "asks": [_GROUPED]},
    ),
    _public("Trades", f"pair! text\n since time\n count integer 1..1000\n {_CLASS}", {"*": [_TRADE], "last": "text"}),
    _public("Spread", f"pair! text\n since time\n {_CLASS}", {"*": [("int", "decimal", "decimal")], "last": "int"}),
    _public("PreTrade", "symbol! text", PRE_TRADE),
    _public(
        "PostTrade",
        "symbol text\n from_ts rfc3339\n to_ts rfc3339\n count integer 1..1000",
        {"last_ts": "text", "count": "int", "trades": [POST_TRADE]},
    ),
)
