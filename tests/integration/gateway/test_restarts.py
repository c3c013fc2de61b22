"""A gateway that is killed under load and started again: no nonce is refused, and no order is placed twice."""

from __future__ import annotations

import contextlib
import functools
import http.client
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from krakenonce.errors import KrakenError
from krakenonce.kraken import Kraken, sent
from krakenonce.manager import NonceManager
from tests.integration.gateway.conftest import ORDER, PATIENCE, call, until

if TYPE_CHECKING:
    import pytest

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes


def has_seen(fake: WatchedKraken, calls: int) -> bool:
    """Return whether so many calls have come to the fake Kraken."""
    return len(fake.arrivals) >= calls


def test_a_kill_under_load_costs_no_nonce_and_repeats_no_order(processes: Processes, fake: WatchedKraken) -> None:
    """Killed three times in the middle of orders and started again: no invalid nonce, and no order twice."""
    pairs = [processes.add(f"bot{number}") for number in range(4)]
    for life in range(3):
        process, url = processes.serve()
        before = len(fake.arrivals)

        def trade(number: int, life: int = life, url: str = url) -> None:
            for count in range(10_000):
                params = f"{ORDER}&cl_ord_id=o-{life}-{number}-{count}"
                try:
                    assert call(url, pairs[number], "AddOrder", params, nonce=count + 1).errors == []
                except (OSError, http.client.HTTPException):
                    return  # it has been killed

        threads = [threading.Thread(target=trade, args=(number,)) for number in range(len(pairs))]
        for thread in threads:
            thread.start()
        until(functools.partial(has_seen, fake, before + 40))
        process.kill()
        for thread in threads:
            thread.join()
        assert processes.end(process) == (-signal.SIGKILL, "")
    process, url = processes.serve()
    assert call(url, pairs[0], "Balance").errors == []
    fake.assert_no_invalid_nonce()
    orders = [seen.body.partition(b"cl_ord_id=")[2] for seen in fake.seen if seen.path.endswith("AddOrder")]
    assert len(orders) == len(set(orders)) >= 120


class Bot:
    """Places orders through a gateway that comes and goes, and asks about those that got no answer.

    Args:
        pair: Its local key.
        url: Where the gateway is when it is there.
        gateway_is_up: Set while it is.
    """

    def __init__(self, pair: LocalKey, url: str, gateway_is_up: threading.Event) -> None:
        manager = NonceManager("memory:")
        self.kraken = Kraken(pair.key, pair.secret, manager=manager, tier="none", base_url=url)
        self.asked = 0
        self._up = gateway_is_up

    def place(self, volume: str) -> None:
        """Place one order, once."""
        while True:
            try:
                self.kraken.add_order("XBTUSD", "buy", volume, "30000")
            except KrakenError as error:
                if error.may_have_executed == "no" or self._stands(error) is False:
                    continue
            return

    def _stands(self, error: KrakenError) -> bool | None:
        self.asked += 1
        while True:
            assert self._up.wait(PATIENCE)
            with contextlib.suppress(KrakenError):  # the gateway has been killed again
                found: sent.Reconciled = error.reconcile()
                return found.placed


def test_bots_that_ask_before_they_repeat_place_each_order_once(
    processes: Processes, fake: WatchedKraken, master: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway is killed three times in the middle of their orders; in the end each order is placed exactly once."""
    monkeypatch.setattr(sent, "LIFETIME", 2.0)
    fake.rules.min_deadline = 0.0
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    up = threading.Event()
    bots = [Bot(processes.add(f"bot{number}"), f"http://{listen}", up) for number in range(4)]
    process, _ = processes.serve(listen)
    up.set()
    volumes = [f"0.{number:04}" for number in range(1, 161)]
    with ThreadPoolExecutor(len(bots)) as pool:
        placed = [pool.submit(bots[number % 4].place, volume) for number, volume in enumerate(volumes)]
        for life in range(1, 4):
            until(functools.partial(has_seen, fake, life * 30))
            up.clear()
            process.kill()
            assert processes.end(process) == (-signal.SIGKILL, "")
            process, _ = processes.serve(listen)
            up.set()
        for each in placed:
            each.result()
    for bot in bots:
        bot.kraken.close()
    assert sorted(f"{order.volume:.4f}" for order in master.orders.values()) == volumes
    assert sum(bot.asked for bot in bots) > 0
    fake.assert_no_invalid_nonce()
