"""Two gateways on one database, and an account with several API keys."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from krakenonce.testing import FakeKrakenServer
from tests.hosts.gateways import *  # noqa: F403
from tests.integration.gateway.conftest import ORDER, RunningGateway, assert_unknown, order_request, send
from tests.integration.gateway.test_several_keys import Busy, CrowdedKraken, account_of, keys_of, placed_by_krakenex

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import WatchedKraken

KEYS = 4


def test_all_keys_are_used_at_once_and_no_nonce_is_refused(state_url: str) -> None:
    """Thirty orders through both gateways: each is placed once."""
    fake = CrowdedKraken()
    account = fake.add_account("MASTER")
    for _ in range(KEYS - 1):
        fake.add_key(account)
    with FakeKrakenServer(fake, latency=0.2) as server:
        one, two = (RunningGateway(server.url, [account_of(account)], state_url) for _ in range(2))
        with one, two, ThreadPoolExecutor(30) as pool:
            pair, urls = one.add("bot"), itertools.cycle([one.url, two.url])
            ids = list(pool.map(lambda n, url: placed_by_krakenex(url, pair, n), range(30), urls))
        assert one.complaints == two.complaints == []
    assert {txid for each in ids for txid in each} == set(account.orders)
    assert len(account.orders) == len(keys_of(fake, "AddOrder")) == 30
    assert fake.invalid_nonces() == []
    assert fake.at_once == len(set(keys_of(fake, "AddOrder"))) == KEYS


def test_the_other_gateway_looks_for_an_order_with_the_key_that_sent_it(fake: WatchedKraken, state_url: str) -> None:
    """The record in the database says which that was."""
    account = fake.add_account("MASTER")
    fake.add_key(account)
    with FakeKrakenServer(fake) as server:
        one, two = (RunningGateway(server.url, [account_of(account)], state_url, order_timeout=0.5) for _ in range(2))
        with one, two:
            pair = one.add("bot")
            request = order_request(pair, f"{ORDER}&cl_ord_id=bot-1")
            fake.faults.add("AddOrder", "process_then_cut", hidden_for=60.0)
            with Busy(one, pair, fake, 1.0):
                assert_unknown(send(one.url, request), "AddOrder")
            fake.arrivals.clear()
            assert_unknown(send(two.url, request), "AddOrder")
    assert set(keys_of(fake, "OpenOrders")) == {"MASTER 2"}
    assert keys_of(fake, "AddOrder") == []
