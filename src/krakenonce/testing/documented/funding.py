"""Kraken's private methods for deposits, withdrawals, transfers and subaccounts."""

from __future__ import annotations

from typing import Any

from krakenonce.testing.documented.notation import OneOf, method, parameters

_CLASS = "aclass {currency|tokenized_asset|forex}"
_DEPOSITING, _WITHDRAWING = "query-funds + add-funds", "query-funds + withdraw-funds"

_METHOD: dict[str, Any] = {
    "method": "text",
    "limit": OneOf(("decimal", "switch")),  # false for none
    "fee?": "decimal",
    "address-setup-fee?": "decimal",
    "gen-address?": "switch",
    "minimum?": "decimal",
}
_ADDRESS: dict[str, Any] = {"address": "text", "expiretm": "decimal", "new?": "switch", "tag?": "text", "memo?": "text"}
_WITHDRAW_METHOD: dict[str, Any] = {
    "asset": "text",
    "method": "text",
    "network?": "text",
    "minimum": "decimal",
    "fee": {"aclass": "text", "asset": "text", "fee": "decimal"},  # typed-kraken 0.5.0 takes it for granted
}
_WITHDRAW_ADDRESS: dict[str, Any] = {
    "address": "text",
    "asset": "text",
    "method": "text",
    "key": "text",
    "tag?": "text",
    "memo?": "text",
    "verified": "switch",
}

_DEPOSIT: dict[str, Any] = {
    "method": "text",
    "aclass": "text",
    "asset": "text",
    "refid": "text",
    "txid": "text",
    "info": "text",
    "amount": "decimal",
    "fee": "decimal",
    "time": "int",
    "status": "{Initial|Pending|Settled|Success|Failure}",
    "status-prop?": "{return|onhold}",
    "originators?": ["text"],
}
_WITHDRAWAL: dict[str, Any] = {
    **_DEPOSIT,
    "network": "text",
    "status-prop?": "{cancel-pending|canceled|cancel-denied|return|onhold}",
    "key": "text",
}

_STATUS = parameters(
    f"asset text\n {_CLASS}\n method text\n start time\n end time\n cursor cursor\n limit integer 1..1000"
)

FUNDING = (
    method("DepositMethods", _DEPOSITING, f"asset! text\n {_CLASS}", [_METHOD]),
    method(
        "DepositAddresses",
        "query-funds",
        "asset! text\n aclass {currency|tokenized_asset}\n method! text\n new switch\n -amount decimal",
        [_ADDRESS],
    ),
    # A list; with the parameter cursor an object. ccxt knows that of withdrawals from Kraken's answers.
    method(
        "DepositStatus",
        "query-funds",
        _STATUS,
        OneOf(([_DEPOSIT], {"deposit": [_DEPOSIT], "next_cursor?": "text?"})),
    ),
    method("WithdrawMethods", _WITHDRAWING, f"asset text\n {_CLASS}\n network text", [_WITHDRAW_METHOD]),
    method(
        "WithdrawAddresses",
        _WITHDRAWING,
        f"asset text\n {_CLASS}\n method text\n key text\n verified switch",
        [_WITHDRAW_ADDRESS],
    ),
    method(
        "WithdrawInfo",
        _WITHDRAWING,
        "asset! text\n key! text\n amount! decimal",
        dict.fromkeys(("limit", "amount", "fee"), "decimal") | {"method": "text"},
    ),
    method(
        "Withdraw",
        "withdraw-funds",
        f"asset! text\n {_CLASS}\n key! text\n address text\n amount! decimal\n max_fee decimal\n"
        "rebase_multiplier {rebased|base}",
        {"refid": "text"},
    ),
    method(
        "WithdrawStatus",
        "withdraw-funds / query-ledger",
        _STATUS,
        OneOf(([_WITHDRAWAL], {"withdrawals": [_WITHDRAWAL], "next_cursor?": "text?"})),
    ),
    method("WithdrawCancel", "withdraw-funds", "asset! text\n refid! text", "switch"),
    method(
        "WalletTransfer",
        "query-funds",
        "asset! text\n from! {Spot Wallet}\n to! {Futures Wallet}\n amount! decimal",
        {"refid": "text"},
    ),
    # Subaccounts are for institutional clients: Kraken denies both to any other account, and so does the fake.
    method("CreateSubaccount", "withdraw-funds", "username! text\n email! text", "switch"),
    method(
        "AccountTransfer",
        "withdraw-funds",
        "asset! text\n asset_class {currency|tokenized_asset}\n amount! decimal\n from! text\n to! text",
        {"transfer_id": "text", "status": "{pending|complete}"},
    ),
)
