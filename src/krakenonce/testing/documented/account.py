"""Kraken's private methods that show an account: balances, orders, trades, the ledger, and exports of them."""

from __future__ import annotations

from typing import Any

from krakenonce.testing.documented.notation import OneOf, Parameter, method, parameters

_BASE = "rebase_multiplier {rebased|base}"  # of tokenised shares, of which the accounts here have none
_WALLET = "-account_id text"
_OPEN, _CLOSED = "query-open-trades", "query-closed-trades"
_EITHER = f"{_OPEN} / {_CLOSED}"

ORDER_TYPES = (
    "market|limit|iceberg|stop-loss|take-profit|stop-loss-limit|take-profit-limit|trailing-stop|trailing-stop-limit"
    "|settle-position"
)

ORDER: dict[str, Any] = {
    "refid": "text?",
    "userref": "int?",
    "cl_ord_id?": "text?",
    "status": "{pending|open|closed|canceled|expired}",
    "opentm": "number",
    "starttm": "number",
    "expiretm": "number",
    "descr": {
        "pair": "text",
        "aclass?": "text",
        "type": "{buy|sell}",
        "ordertype": f"{{{ORDER_TYPES}}}",
        "price": "text",  # a relative one has a sign or a percent sign
        "price2": "text",
        "leverage": "text",
        "order": "text",
        "close": "text",
    },
    "vol": "decimal",
    "vol_exec": "decimal",
    "cost": "decimal",
    "fee": "decimal",
    "price": "decimal",
    "stopprice": "decimal",
    "limitprice": "decimal",
    "trigger?": "{last|index}",
    "margin?": "switch",
    "misc": "text",
    "sender_sub_id?": "text?",
    "oflags": "text",
    "time_in_force?": "{gtc|ioc|gtd|fok}",
    "displayvol?": "decimal",
    "trades?": ["text"],
}
CLOSED_ORDER = {**ORDER, "closetm": "number", "reason": "text?"}  # the specification has no null; Kraken has it

TRADE: dict[str, Any] = {
    "ordertxid": "text",
    "postxid": "text",
    "pair": "text",
    "aclass": "text",
    "time": "number",
    "type": "{buy|sell}",
    "ordertype": f"{{{ORDER_TYPES}}}",
    "tradeordertype": f"{{{ORDER_TYPES}}}",
    "price": "decimal",
    "cost": "decimal",
    "fee": "decimal",
    "vol": "decimal",
    "margin": "decimal",
    "leverage": "decimal",
    "misc": "text",
    "trade_id": "int",
    "maker": "switch",
    "ledgers?": ["text"],
}

LEDGER_TYPES = (
    "none|trade|deposit|withdrawal|transfer|margin|adjustment|rollover|spend|receive|settled|credit|staking|reward"
    "|dividend|sale|conversion|nfttrade|nftcreatorfee|nftrebate|custodytransfer"
)
LEDGER: dict[str, Any] = {
    "refid": "text",
    "time": "number",
    "type": f"{{{LEDGER_TYPES}}}",
    "subtype": "text",
    "aclass": "text",
    "asset": "text",
    "amount": "decimal",
    "fee": "decimal",
    "balance": "decimal",
}

_POSITION: dict[str, Any] = {
    "ordertxid": "text",
    "posstatus": "{open}",
    "pair": "text",
    "class?": "text",
    "time": "number",
    "type": "{buy|sell}",
    "ordertype": "text",
    "cost": "decimal",
    "fee": "decimal",
    "vol": "decimal",
    "vol_closed": "decimal",
    "margin": "decimal",
    "value?": "decimal",
    "net?": "decimal",
    "terms": "text",
    "rollovertm": "text",
    "misc": "text",
    "oflags": "text",
}

_AMEND: dict[str, Any] = {
    "amend_id": "text",
    "amend_type": "{original|user|restated}",
    "order_qty": "decimal",
    "display_qty?": "decimal",
    "remaining_qty": "decimal",
    "limit_price?": "decimal",
    "trigger_price?": "decimal",
    "reason?": "text",
    "post_only?": "switch",
    "timestamp": "int",  # in nanoseconds
}

# The schema of the specification has underscores in these names; its example and Kraken's answers, as clients know them
# (ccxt, python-kraken-sdk), have none.
_FEE: dict[str, Any] = {
    "fee": "decimal",
    "minfee": "decimal",
    "maxfee": "decimal",
    "nextfee": "decimal?",
    "nextvolume": "decimal?",
    "tiervolume": "decimal?",
}
# typed-kraken 0.5.0 and kraken-py-sdk 0.1.0 take these three for granted.
_INPUTS: dict[str, Any] = {
    "domain_spot_volume_30d": "decimal",
    "domain_futures_volume_30d": "decimal",
    "domain_assets_on_platform": "decimal",
}
# python-kraken-sdk 3.5.1 shows this answer; Kraken's change log has the parameter since 16 June 2026.
_TIER: dict[str, Any] = {
    "maker_fee": "decimal",
    "taker_fee": "decimal",
    "active?": "switch",
    "min_spot_volume?": "decimal",
    "min_futures_volume?": "decimal",
    "min_assets_on_platform?": "decimal",
}

_VOLUME: dict[str, Any] = {
    "currency": "text",
    "volume": "decimal",
    "inputs": _INPUTS,
    "fees": OneOf(({"*": _FEE}, "null")),  # null without a pair
    "fees_maker": OneOf(({"*": _FEE}, "null")),
    "schedules?": [{"pair": "text", "class": "text", "tiers": [_TIER]}],  # if fee_schedule is asked for
}

_BALANCE: dict[str, Any] = {
    "balance": "decimal",
    "credit?": "decimal",
    "credit_used?": "decimal",
    "hold_trade": "decimal",
}
_WORTH: dict[str, Any] = dict.fromkeys(("eb", "tb", "m", "uv", "n", "c", "v", "e", "mf"), "decimal") | {
    "ml?": "decimal"
}
_CREDIT = dict.fromkeys(("balance", "credit_limit", "credit_used", "available_credit"), "decimal")
_CREDIT_TOTALS = (
    "total_credit_usd",
    "total_credit_used_usd",
    "total_collateral_value_usd",
    "equity_usd",
    "ongoing_balance",
    "debt_to_equity",
)

_EXPORT: dict[str, Any] = {
    "id": "text",
    "descr": "text",
    "format": "text",
    "report": "{trades|ledgers}",
    "subtype": "text",
    "status": "{Queued|Processing|Processed}",
    "flags?": "text",
    "fields": "text",
    "createdtm": "decimal",
    "expiretm": "decimal",
    "starttm": "decimal",
    "completedtm": "decimal",
    "datastarttm": "decimal",
    "dataendtm": "decimal",
    "aclass": "text",
    "asset": "text",
    "delete?": "text",
}

# Kraken's page of GetApiKeyInfo.
_KEY: dict[str, Any] = {
    "apiKeyName": "text",
    "apiKey": "text",
    "nonce": "decimal",
    "nonceWindow": "int",
    "permissions": ["text"],
    "iban": "text",
    "validUntil": "decimal",
    "queryFrom": "decimal",
    "queryTo": "decimal",
    "createdTime": "decimal",
    "modifiedTime": "decimal",
    "ipAllowlist": ["text"],
    "lastUsed": "decimal",
}

_L3_ORDER = {"price": "decimal", "qty": "decimal", "order_id": "text", "timestamp": "int"}
_TRADE_KINDS = "{all|any position|closed position|closing position|no position}"
_LEDGER_KINDS = (
    "{all|trade|deposit|withdrawal|transfer|margin|adjustment|rollover|credit|settled|staking|dividend|sale|nft_rebate}"
)


def _volume_takes() -> tuple[Parameter, ...]:
    # fee-info is of Kraken's former page; python-kraken-sdk sends it in each call.
    pair = parameters("asset! text\n aclass text")
    return parameters(f"pair texts\n fee-info switch\n fee_schedule switch\n {_BASE}", pair=pair)


ACCOUNT = (
    method("Balance", "query-funds", f"{_BASE}\n {_WALLET}", {"*": "decimal"}),
    method("BalanceEx", "query-funds", f"{_BASE}\n {_WALLET}", {"*": _BALANCE}),
    method(
        "CreditLines",
        "query-funds",
        _BASE,
        {"asset_details": {"*": _CREDIT}, "limits_monitor": dict.fromkeys(_CREDIT_TOTALS, "decimal?")},
    ),
    # The specification asks for the second of these permissions, Kraken's guide on API keys for the first.
    method("TradeBalance", f"query-funds / {_OPEN}", f"asset text\n {_BASE}", _WORTH),
    method("OpenOrders", _OPEN, f"trades switch\n userref integer\n cl_ord_id text\n {_BASE}", {"open": {"*": ORDER}}),
    method(
        "ClosedOrders",
        _CLOSED,
        "trades switch\n userref integer\n cl_ord_id text\n start bound\n end bound\n ofs integer 0..2147483647\n"
        f"closetime {{open|close|both}}\n consolidate_taker switch\n without_count switch\n {_BASE}",
        {"closed": {"*": CLOSED_ORDER}, "count?": "int"},
    ),
    method(
        "QueryOrders",
        _EITHER,
        f"trades switch\n userref integer\n txid! texts\n consolidate_taker switch\n {_BASE}",
        {"*": OneOf((ORDER, CLOSED_ORDER))},
    ),
    method("OrderAmends", _EITHER, f"order_id! text\n {_BASE}", {"count": "int", "amends": [_AMEND]}),
    method(
        "TradesHistory",
        _CLOSED,
        f"type {_TRADE_KINDS}\n trades switch\n start bound\n end bound\n ofs integer 0..2147483647\n"
        f"without_count switch\n consolidate_taker switch\n ledgers switch\n {_BASE}",
        {"trades": {"*": TRADE}, "count?": "int"},
    ),
    method("QueryTrades", _CLOSED, f"txid! texts\n trades switch\n {_BASE}", {"*": TRADE}),
    method(
        "OpenPositions",
        _OPEN,
        f"txid texts\n docalcs switch\n consolidation {{market}}\n {_BASE}",
        OneOf(({"*": _POSITION}, [_POSITION])),
    ),
    method(
        "Ledgers",
        "query-ledger",
        f"asset texts\n aclass text\n type {_LEDGER_KINDS}\n start bound\n end bound\n ofs integer 0..2147483647\n"
        f"without_count switch\n {_BASE}\n {_WALLET}",
        {"ledger": {"*": LEDGER}, "count?": "int"},
    ),
    method("QueryLedgers", "query-ledger", f"id! texts\n trades switch\n {_BASE}", {"*": LEDGER}),
    method("TradeVolume", "query-funds", _volume_takes(), _VOLUME),
    method(
        "Level3",
        _OPEN,
        "pair! text\n depth {0|10|25|100|250|1000}",
        {"pair": "text", "bids": [_L3_ORDER], "asks": [_L3_ORDER]},
    ),
    method("GetApiKeyInfo", "", "", _KEY),
    method("ListWalletAccounts", "", "", "any", is_simulated=False),  # no source that we know shows an answer
    method(
        "AddExport",
        "export-data",
        "report! {trades|ledgers}\n format {CSV|TSV}\n description! text\n fields texts\n starttm time\n endtm time",
        {"id": "text"},
    ),
    method("ExportStatus", "export-data", "report! {trades|ledgers}", [_EXPORT]),
    method("RetrieveExport", "export-data", "id! text", "bytes"),
    method(
        "RemoveExport",
        "export-data",
        "id! text\n type! {cancel|delete}",
        OneOf(({"delete": "switch"}, {"cancel": "switch"})),
    ),
)
