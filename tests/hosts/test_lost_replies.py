"""The campaign of lost replies, for a moment, with gateways whose state is in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prove.campaign import Trial
from prove.lost_replies import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts.servers import PostgresServer

ACCOUNTS = 6  # each gateway has a connection for each, and those of one that was killed end a moment later


def test_no_lost_reply_costs_an_order_on_a_database(server: PostgresServer, tmp_path: Path) -> None:
    """Orders are repeated, gateways are killed, and no bot is told what is not true."""
    figures = run(Trial(tmp_path, 1, 2.0), state=server.url, accounts=ACCOUNTS)
    assert figures["orders"] >= 100
    assert figures["kills"] > 0
    assert figures["repeats by the proxy"] > 0
