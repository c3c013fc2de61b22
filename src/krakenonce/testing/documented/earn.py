"""Kraken's private methods of Earn."""

from __future__ import annotations

from typing import Any

from krakenonce.testing.documented.notation import OneOf, method

_MONEY: dict[str, Any] = {"native": "decimal", "converted": "decimal"}
_TYPE: dict[str, Any] = {
    "flex": {"type": "{flex}"},
    "instant": {"type": "{instant}", "payout_frequency": "int"},
    "bonded": {
        "type": "{bonded}",
        "payout_frequency": "int",
        "bonding_period": "int",
        "bonding_period_variable": "switch",
        "bonding_rewards": "switch",
        "exit_queue_period": "int",
        "unbonding_period": "int",
        "unbonding_period_variable": "switch",
        "unbonding_rewards": "switch",
    },
}
_COMPOUND = OneOf(({"type": "{disabled|enabled}"}, {"type": "{optional}", "default": "switch"}))
_STRATEGY: dict[str, Any] = {
    "id": "text",
    "asset": "text",
    "lock_type": OneOf(_TYPE.values()),
    "apr_estimate?": {"low": "decimal", "high": "decimal"},
    "user_min_allocation?": "decimal?",
    "user_cap?": "decimal?",
    "allocation_fee": "decimal",
    "deallocation_fee": "decimal",
    "auto_compound": _COMPOUND,
    "yield_source": {"type": "{staking|off_chain|opt_in_rewards}"},
    "can_allocate": "switch",
    "can_deallocate": "switch",
    "allocation_restriction_info": ["text"],
}
_PART: dict[str, Any] = {
    **_MONEY,
    "allocation_count": "int",
    "allocations": [{**_MONEY, "created_at": "text", "expires": "text"}],
}
_ALLOCATION: dict[str, Any] = {
    "strategy_id": "text",
    "native_asset": "text",
    "amount_allocated": {
        "total": _MONEY,
        "pending?": _MONEY,
        "bonding?": _PART,
        "exit_queue?": _PART,
        "unbonding?": _PART,
    },
    "total_rewarded": _MONEY,
    "payout?": {
        "period_start": "text",
        "period_end": "text",
        "accumulated_reward": _MONEY,
        "estimated_reward": _MONEY,
    },
}
_EITHER = "earn-funds / query-funds"
_STATUS = {"pending": "switch"}

EARN = (
    method("Earn/Allocate", "earn-funds", "amount! decimal\n strategy_id! text", "switch"),
    method("Earn/Deallocate", "earn-funds", "amount! decimal\n strategy_id! text", "switch"),
    method("Earn/AllocateStatus", _EITHER, "strategy_id! text", _STATUS),
    method("Earn/DeallocateStatus", _EITHER, "strategy_id! text", _STATUS),
    method(
        "Earn/Strategies",
        "",
        "ascending switch\n asset text\n cursor cursor\n limit integer 1..65535\nlock_type [flex|bonded|timed|instant]",
        {"items": [_STRATEGY], "next_cursor?": "text?"},
    ),
    method(
        "Earn/Allocations",
        "query-funds",
        "ascending switch\n converted_asset text\n hide_zero_allocations switch",
        {
            "converted_asset": "text",
            "items": [_ALLOCATION],
            "total_allocated": "decimal",
            "total_rewarded": "decimal",
            "next_cursor?": "text?",
        },
    ),
)
