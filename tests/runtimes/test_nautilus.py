"""A whole node of nautilus_trader trades through the gateway; what it does with lost answers is in test_repeats.py."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.runtimes.bought import orders_of
from tests.runtimes.processes import BOTS, need, until
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.processes import Processes
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken


@pytest.mark.skipif(sys.version_info < (3, 12), reason="nautilus_trader 1.231.0 needs Python 3.12")
def test_a_node_of_nautilus_trader_buys_through_the_gateway(
    programs: Programs, gateways: Processes, server: WatchedKraken, account: FakeAccount
) -> None:
    """With the lines of docs/how-to/bots.md: all its private calls come from the gateway, that for the token, too."""
    need(str(BOTS / "python"))
    account.balances["ZUSD"] = Decimal(10_000)
    _, url = gateways.serve()
    pair = gateways.local_keys.add("bot", "MASTER", frozenset(("query", "trade", "token")))
    bot = programs.bot("python", "-m", "tests.runtimes.programs.nautilus_node", url, pair.key, pair.secret)
    filled = until(lambda: re.search(r"filled: (\S+)", bot.printed), lambda: bot.printed[-3000:], 60.0)
    assert orders_of(account) == [filled[1]]
    assert "GetWebSocketsToken" in {each.method for each in server.fake.arrivals}
    assert_in_turn(server, len(server.fake.arrivals))
