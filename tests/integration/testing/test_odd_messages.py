"""The WebSocket API under messages that no client should send."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from krakenonce.testing import FakeKraken
from tests.integration.testing.socket_client import token_for

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)
METHODS = [
    "subscribe",
    "unsubscribe",
    "ping",
    "add_order",
    "amend_order",
    "cancel_order",
    "cancel_all",
    "cancel_all_orders_after",
    "batch_add",
    "batch_cancel",
]
USUAL: dict[str, Any] = {
    "channel": "book",
    "symbol": "BTC/USD",
    "order_type": "limit",
    "side": "buy",
    "order_qty": 1,
    "limit_price": 100,
}
NAMES = [
    *USUAL,
    *("depth", "interval", "snapshot", "event_trigger", "snap_trades", "order_status", "cash_order_qty", "triggers"),
    *(
        "conditional",
        "expire_time",
        "deadline",
        "cl_ord_id",
        "order_userref",
        "order_id",
        "orders",
        "timeout",
        "margin",
    ),
    *("fee_preference", "time_in_force", "stp_type", "limit_price_type", "post_only", "validate", "display_qty"),
]


class Kept:
    """The way to a client that keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, text: str) -> None:
        """Keep a message, which has to be JSON."""
        self.messages.append(json.loads(text))

    def cut(self) -> None:
        """Do nothing."""


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(METHODS), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), VALUES)
def test_every_message_is_answered(method: str, odd: dict[str, Any], number: Any) -> None:
    """With JSON, whatever is in it; and nothing fails."""
    fake, kept = FakeKraken(), Kept()
    session = fake.streams.open(kept)
    token = token_for(fake, fake.add_account("bot"))
    for channel in ("executions", "balances", "ticker", "book", "ohlc"):
        params = {"channel": channel, "symbol": ["BTC/USD"], "token": token}
        fake.streams.receive(session, json.dumps({"method": "subscribe", "params": params}))
    before = len(kept.messages)
    params = {**USUAL, **odd, "token": token}
    fake.streams.receive(session, json.dumps({"method": method, "params": params, "req_id": number}))
    fake.streams.tick(session)
    wanted = "pong" if method == "ping" else method
    assert any(message.get("method") == wanted for message in kept.messages[before:])
