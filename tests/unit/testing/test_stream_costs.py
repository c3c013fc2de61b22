"""What a call costs does not depend on how many orders rest and how many trades there were, also with subscribers."""

from __future__ import annotations

import json

import pytest

from krakenonce.testing import FakeKraken
from tests.integration.testing.helpers import Caller
from tests.unit.testing.test_costs import FEW, MANY, steps


class Nowhere:
    """The way to a client that does nothing."""

    def send(self, text: str) -> None:
        """Do nothing."""

    def cut(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("channel", ["book", "ticker", "trade", "ohlc"])
def test_a_subscriber_costs_the_same_among_few_and_among_many(channel: str) -> None:
    """Of 1500 orders and trades, only the best levels and the new trades are looked at."""
    counts = []
    for there in (FEW, MANY):
        fake = FakeKraken()
        caller = Caller(fake, fake.add_account("bot"), fake.time())
        for number in range(there):
            caller.place(price=20000 + number, volume="0.001")
            caller.place(ordertype="market", volume="0.001")
        session = fake.streams.open(Nowhere())
        params = {"channel": channel, "symbol": ["BTC/USD"], "event_trigger": "bbo"}
        fake.streams.receive(session, json.dumps({"method": "subscribe", "params": params}))
        counts.append(steps(lambda caller=caller: caller.place(price="15000", volume="0.001")))  # type: ignore[misc]
    assert counts[1] < counts[0] + 400
