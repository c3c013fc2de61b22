"""The gateway sends no signed request twice: a repeat gets what became of the first."""

from __future__ import annotations

import json
import os
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.brokers import Account
from krakenonce.gateway import sent_record
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.wire import JSON
from tests.integration.gateway.conftest import (
    ORDER,
    RunningGateway,
    assert_unknown,
    call,
    connect,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import Got, WatchedKraken
    from tests.integration.gateway.processes import Processes


def assert_refused_as_at_kraken(got: Got) -> None:
    """Kraken's words for a request that it has executed already; nothing was sent."""
    assert (got.status, got.errors) == (200, ["EAPI:Invalid nonce"])
    assert got.headers["X-Krakenonce-Executed"] == "no"


def txids(got: Got) -> Any:
    """Kraken's ids in an answer to AddOrder."""
    answer = json.loads(got.body)
    assert answer["error"] == []
    return answer["result"]["txid"]


def orders_sent(fake: WatchedKraken) -> int:
    """How many orders came to Kraken."""
    return sum(seen.path == "/0/private/AddOrder" for seen in fake.seen)


def test_a_repeat_of_an_answered_order_is_refused_as_kraken_refuses_it(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """However often; another order, and the same one signed anew, are sent."""
    request = order_request(pair)
    assert txids(send(gateway.url, request)) == list(master.orders)
    for _ in range(3):
        assert_refused_as_at_kraken(send(gateway.url, request))
    assert orders_sent(fake) == 1
    assert send(gateway.url, order_request(pair)).errors == []
    assert orders_sent(fake) == len(master.orders) == 2


@pytest.mark.parametrize("method", ["CancelAll", "CancelOrder", "AmendOrder", "Withdraw", "AddOrderBatch", "NewThing"])
def test_no_call_that_changes_something_is_sent_twice(
    gateway: RunningGateway, fake: WatchedKraken, method: str
) -> None:
    """Also one that Kraken has refused, and one that is not known; as JSON too."""
    local = gateway.add("all", "trade", "cancel-all", "withdraw", "other")
    for body, kind in (
        (b"nonce=7&txid=OABCDE-ABCDE-ABCDEF", None),
        (b'{"nonce":7,"txid":"OABCDE-ABCDE-ABCDEF"}', JSON),
    ):
        fake.seen.clear()
        path = f"/0/private/{method}"
        headers = signed(local, path, 7, body, *([kind] if kind else []))
        first = fetch(gateway.url, "POST", path, body, headers)
        assert "X-Krakenonce-Nonce" in first.headers
        assert_refused_as_at_kraken(fetch(gateway.url, "POST", path, body, headers))
        assert len(fake.seen) == 1


def test_calls_that_only_read_may_be_repeated(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Queries, and an order that is only checked."""
    assert [call(gateway.url, pair, "Balance", nonce=5).errors for _ in range(2)] == [[], []]
    request = order_request(pair, f"{ORDER}&validate=true")
    assert [send(gateway.url, request).errors for _ in range(2)] == [[], []]
    assert len(fake.seen) == 4
    assert master.orders == {}


def test_nonces_of_clients_need_not_rise(gateway: RunningGateway, pair: LocalKey, master: FakeAccount) -> None:
    """Two units of a bot in the same millisecond, and one whose clock has stepped back: each order is another one."""
    for nonce, volume in ((1000, 1), (1000, 2), (999, 1), (3, 1)):
        params = f"pair=XBTUSD&type=buy&ordertype=limit&volume={volume}&price=100"
        assert send(gateway.url, order_request(pair, params, nonce)).errors == []
    assert len(master.orders) == 4


def test_thirty_orders_at_once_are_all_sent(gateway: RunningGateway, pair: LocalKey, master: FakeAccount) -> None:
    """Clients with a nonce for each millisecond send several with the same one: their bytes differ all the same."""
    requests = [
        order_request(pair, f"pair=XBTUSD&type=buy&ordertype=limit&volume={n}&price=100", 5) for n in range(1, 31)
    ]
    with ThreadPoolExecutor(30) as pool:
        assert [got.errors for got in pool.map(lambda each: send(gateway.url, each), requests)] == [[]] * 30
    assert len(master.orders) == 30


def test_equal_bytes_from_two_callers_at_once_are_sent_once(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """They cannot be told from a repeat: one is answered, the others are refused while it waits."""
    fake.faults.add("AddOrder", "slow_answer", seconds=1.5)
    request = order_request(pair)
    with ThreadPoolExecutor(5) as pool:
        got = list(pool.map(lambda _: send(gateway.url, request), range(5)))
    assert sorted(each.errors for each in got) == [[], *[["EAPI:Invalid nonce"]] * 4]
    assert orders_sent(fake) == 1


def test_a_repeat_waits_for_the_answer_if_the_first_sender_has_gone(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """It gets Kraken's answer with a header that says it is a repeat; once that is received, the next is refused."""
    fake.faults.add("AddOrder", "slow_answer", seconds=0.5)
    request = order_request(pair)
    send_and_leave(gateway.url, request, lambda: master.orders)
    got = send(gateway.url, request)
    assert txids(got) == list(master.orders)
    assert 0 < float(got.headers["X-Krakenonce-Repeat"]) < 30
    assert_refused_as_at_kraken(send(gateway.url, request))
    assert orders_sent(fake) == 1


def test_an_answer_that_nobody_received_is_kept_for_the_repeat(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Also a refusal, and after the call is over."""
    for params, expected in ((ORDER, []), ("pair=XBTUSD", ["EGeneral:Invalid arguments:type"])):
        fake.faults.add("AddOrder", "slow_answer", seconds=0.2)
        fake.seen.clear()
        request = order_request(pair, params)
        send_and_leave(gateway.url, request, lambda: fake.seen)
        until(lambda: not gateway.accounts["MASTER"].queue.busy)
        got = send(gateway.url, request)
        assert got.errors == expected
        assert "X-Krakenonce-Repeat" in got.headers
        assert_refused_as_at_kraken(send(gateway.url, request))
        assert orders_sent(fake) == 1
    assert len(master.orders) == 1


def test_an_answer_that_arrived_and_was_not_read_is_not_received(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """A client has given up, and closes its connection only before it repeats the request."""
    request = order_request(pair)
    path, body, headers = request
    connection = connect(gateway.url)
    connection.request("POST", path, body, headers)
    until(lambda: select.select([connection.sock], [], [], 0)[0])
    connection.close()
    got = send(gateway.url, request)
    assert txids(got) == list(master.orders)
    assert "X-Krakenonce-Repeat" in got.headers
    assert orders_sent(fake) == 1


def test_what_was_never_sent_may_be_sent_later(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer
) -> None:
    """A client that hung up in the queue sends its order again: that is the first time."""
    fake.faults.add("Balance", "slow_answer", seconds=1.0)
    request = order_request(pair)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: fake.seen)
        send_and_leave(gateway.url, request, gateway.waiting)
        until(lambda: not gateway.waiting())
        assert txids(send(gateway.url, request)) == list(master.orders)
        assert slow.result().errors == []
    assert_refused_as_at_kraken(send(gateway.url, request))


def test_an_order_that_found_no_connection_or_no_room_may_be_sent_later(
    fake: WatchedKraken, master: FakeAccount, tmp_path: Path
) -> None:
    """Both were answered "not sent", so the same bytes are not a repeat."""
    from krakenonce.testing import FakeKrakenServer

    account = Account("MASTER", master.key, master.secret, "none")
    with FakeKrakenServer(fake) as server, RunningGateway(server.url, [account], tmp_path, length=1) as gateway:
        pair = gateway.add("bot")
        full = order_request(pair)
        with ThreadPoolExecutor(2) as pool:
            fake.faults.add("Balance", "slow_answer", seconds=1.0)
            slow = pool.submit(call, gateway.url, pair, "Balance")
            until(lambda: fake.seen)
            waiting = pool.submit(call, gateway.url, pair, "Balance")
            until(gateway.waiting)
            assert send(gateway.url, full).errors == ["EService:Unavailable"]
            assert slow.result().errors == waiting.result().errors == []
        assert send(gateway.url, full).errors == []
        port = int(server.url.rpartition(":")[2])
        server.stop()
        unsent = order_request(pair)
        assert send(gateway.url, unsent).errors == ["EService:Unavailable"]
        with FakeKrakenServer(fake, port=port):
            assert send(gateway.url, unsent).errors == []
            assert_refused_as_at_kraken(send(gateway.url, unsent))
    assert len(master.orders) == 2


def test_another_gateway_on_the_same_state_knows_what_was_sent(
    processes: Processes, fake: WatchedKraken, master: FakeAccount, tmp_path: Path
) -> None:
    """Answered by one: refused by the other. Not received from one: the other has it."""
    pair = processes.add("bot")
    (_, one), (_, other) = processes.serve(), processes.serve()
    request = order_request(pair)
    assert send(one, request).errors == []
    (record,) = (tmp_path / "state" / "gateway_sent").iterdir()
    until(lambda: record.read_bytes()[16 + 9] & 3 == sent_record.Status.DELIVERED)  # which is written soon afterwards
    assert_refused_as_at_kraken(send(other, request))
    fake.faults.add("AddOrder", "slow_answer", seconds=0.5)
    request = order_request(pair)
    send_and_leave(one, request, lambda: len(master.orders) == 2)
    got = send(other, request)
    assert txids(got) == list(master.orders)[1:]
    assert "X-Krakenonce-Repeat" in got.headers
    until(lambda: record.read_bytes()[16 + 19] & 3 == sent_record.Status.DELIVERED)
    assert_refused_as_at_kraken(send(one, request))
    assert orders_sent(fake) == 2


@pytest.mark.parametrize("more", ["", "&userref=7", "&cl_ord_id=bot-1"])
def test_a_killed_gateway_s_order_is_not_sent_again(
    processes: Processes, fake: WatchedKraken, master: FakeAccount, more: str
) -> None:
    """Killed while it waited for the answer: after the restart the repeat gets the order's txid from Kraken's lists."""
    pair = processes.add("bot")
    process, url = processes.serve()
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    request = order_request(pair, ORDER + more)
    send_and_leave(url, request, lambda: master.orders)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, url = processes.serve()
    got = send(url, request)
    assert txids(got) == list(master.orders)
    assert got.headers["X-Krakenonce-Executed"] == "yes"
    assert_refused_as_at_kraken(send(url, request))
    assert orders_sent(fake) == 1


def test_a_kept_answer_outlives_a_kill(processes: Processes, fake: WatchedKraken) -> None:
    """What cannot be looked up, such as an amendment's answer, is on the disk before the next call."""
    pair = processes.add("bot")
    process, url = processes.serve()
    fake.faults.add("AmendOrder", "slow_answer", seconds=0.3)
    body, path = b"nonce=5&txid=OABCDE-ABCDE-ABCDEF&limit_price=99", "/0/private/AmendOrder"
    request = path, body, signed(pair, path, 5, body)
    send_and_leave(url, request, lambda: fake.seen)
    assert call(url, pair, "Balance").errors == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, url = processes.serve()
    got = send(url, request)
    assert got.errors == ["EOrder:Invalid order"]
    assert "X-Krakenonce-Repeat" in got.headers


@pytest.mark.parametrize("method", ["AmendOrder", "Withdraw", "AddOrderBatch", "CancelAll"])
def test_the_repeat_of_an_unknown_call_is_unknown_too(
    gateway: RunningGateway, fake: WatchedKraken, method: str
) -> None:
    """The gateway guesses nothing, and gives no error in Kraken's form: clients take any for a reason to send anew."""
    local = gateway.add("all", "trade", "cancel-all", "withdraw")
    fake.faults.add(method, "process_then_cut")
    for _ in range(3):
        assert_unknown(call(gateway.url, local, method, nonce=5), method)
    assert len(fake.seen) == 1


def test_the_record_has_no_secret_and_nothing_that_was_sent(
    gateway: RunningGateway, pair: LocalKey, master: FakeAccount, tmp_path: Path
) -> None:
    """Of an order it has the txid; no key, no secret, no signature, no price."""
    request = order_request(pair, "pair=XBTUSD&type=buy&ordertype=limit&volume=1&price=123.4")
    assert send(gateway.url, request).errors == []
    (record,) = (tmp_path / "state" / "gateway_sent").iterdir()
    until(lambda: next(iter(master.orders)).encode() in record.read_bytes())
    written = record.read_bytes()
    assert len(written) == 2 * 1024 * 1024
    assert record.stat().st_mode & 0o777 == 0o600
    for text in (pair.key, pair.secret, master.key, master.secret, request[2]["API-Sign"], "123.4"):
        assert text.encode() not in written


def test_a_call_of_another_process_s_gateway_is_waited_for(processes: Processes, fake: WatchedKraken) -> None:
    """Not only an order: the repeat at the other gateway comes in the turn after the first, and has its answer."""
    pair = processes.add("bot")
    (_, one), (_, other) = processes.serve(), processes.serve()
    fake.faults.add("AmendOrder", "slow_answer", seconds=0.5)
    body, path = b"nonce=5&txid=OABCDE-ABCDE-ABCDEF&limit_price=99", "/0/private/AmendOrder"
    request = path, body, signed(pair, path, 5, body)
    send_and_leave(one, request, lambda: fake.seen)
    got = send(other, request)
    assert got.errors == ["EOrder:Invalid order"]
    assert "X-Krakenonce-Repeat" in got.headers
    assert len(fake.seen) == 1


def test_a_record_of_another_version_is_not_used(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, tmp_path: Path
) -> None:
    """A newer gateway has written it: orders are refused, and nothing is overwritten."""
    assert send(gateway.url, order_request(pair)).errors == []
    (record,) = (tmp_path / "state" / "gateway_sent").iterdir()
    newer = record.read_bytes().replace(b"krakenonce sent\x01", b"krakenonce sent\x02", 1)
    record.write_bytes(newer[:16] + bytes(len(newer) - 16))
    got = send(gateway.url, order_request(pair))
    assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
    assert "another version" in got.headers["X-Krakenonce-Explanation"]
    assert call(gateway.url, pair, "Balance").errors == []
    assert record.read_bytes()[:16] == newer[:16]
    assert orders_sent(fake) == 1


def test_when_a_day_s_calls_fill_the_record_only_cancels_go_on(
    gateway: RunningGateway, pair: LocalKey, master: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot is told so, and what to do; another local key of the same account has a record of its own."""
    monkeypatch.setattr(sent_record, "SLOTS", 4)
    for _ in range(3):
        assert send(gateway.url, order_request(pair)).errors == []
    got = send(gateway.url, order_request(pair))
    assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
    assert "second local key" in got.headers["X-Krakenonce-Explanation"]
    txid = next(iter(master.orders))
    for method, params in (("CancelOrder", f"txid={txid}"), ("CancelAllOrdersAfter", "timeout=60"), ("CancelAll", "")):
        assert call(gateway.url, pair, method, params).errors == []
    assert send(gateway.url, order_request(gateway.add("second"))).errors == []


def test_a_stopping_gateway_sends_no_order_that_has_not_begun(
    fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """Neither one that waits for the rate limit, nor one that comes on a connection that is open still."""
    account = Account("MASTER", master.key, master.secret, "starter")
    with RunningGateway(server.url, [account], tmp_path / "state") as gateway, ThreadPoolExecutor(80) as pool:
        pair = gateway.add("bot")
        connection = connect(gateway.url)
        connection.request("POST", *order_request(pair))
        assert connection.getresponse().read().startswith(b'{"error": []')
        orders = [pool.submit(send, gateway.url, order_request(pair)) for _ in range(65)]
        until(lambda: len([each for each in orders if each.done()]) > 55)
        fake.faults.add("Balance", "slow_answer", seconds=1.5)
        slow = pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: any(seen.path == "/0/private/Balance" for seen in fake.seen))
        sent = orders_sent(fake)
        gateway.begin_stop()
        connection.request("POST", *order_request(pair))
        assert json.loads(connection.getresponse().read())["error"] == ["EService:Unavailable"]
        connection.close()
        assert slow.result().errors == []
        refused = [each.result() for each in orders if each.result().errors]
    assert {(*got.errors, got.headers["X-Krakenonce-Executed"]) for got in refused} == {("EService:Unavailable", "no")}
    assert sent == orders_sent(fake) == 66 - len(refused)


def test_a_repeat_that_cannot_be_looked_up_is_unknown_and_not_refused(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, tmp_path: Path
) -> None:
    """The key file cannot be used, or the account has no credentials any more. What was never sent is refused."""
    fake.faults.add("AddOrder", "drop")
    request, never_sent = order_request(pair), order_request(pair)
    assert_unknown(send(gateway.url, request), "AddOrder")
    key_file = tmp_path / "state" / "gateway_keys.json"
    key_file.chmod(0o644)
    assert_unknown(send(gateway.url, request), "local keys cannot be used")
    assert send(gateway.url, never_sent).errors == ["EService:Unavailable"]
    key_file.chmod(0o600)
    del gateway.accounts["MASTER"]
    assert_unknown(send(gateway.url, request), "no usable credentials")
    assert send(gateway.url, never_sent).errors == ["EService:Unavailable"]


def test_a_new_gateway_refuses_no_repeat_that_it_cannot_look_up(
    fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """The order was sent before the restart; now the account has no credentials, or a file cannot be used."""
    state, account = tmp_path / "state", Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], state, order_timeout=1.0) as gateway:
        pair = gateway.add("bot")
        fake.faults.add("AddOrder", "drop")
        request, never_sent = order_request(pair), order_request(pair)
        assert_unknown(send(gateway.url, request), "AddOrder")
    (record,) = (state / "gateway_sent").iterdir()
    with RunningGateway(server.url, [], state) as gateway:
        assert_unknown(send(gateway.url, request), "no usable credentials")
        assert send(gateway.url, never_sent).errors == ["EService:Unavailable"]
    with RunningGateway(server.url, [account], state) as gateway:
        (state / "gateway_keys.json").chmod(0o644)
        assert_unknown(send(gateway.url, request), "local keys cannot be used")
        (state / "gateway_keys.json").chmod(0o600)
    record.rename(tmp_path / "moved")
    record.mkdir()
    with RunningGateway(server.url, [account], state) as gateway:
        assert_unknown(send(gateway.url, request), "is a directory")
    assert orders_sent(fake) == len(master.orders) == 0


def test_a_record_that_cannot_be_used_keeps_no_account_from_stopping_to_trade(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, tmp_path: Path
) -> None:
    """Cancels are sent without being entered, and orders are not."""
    assert send(gateway.url, order_request(gateway.add("other"))).errors == []
    tmp_path.joinpath("state", "gateway_sent", f"{fingerprint(pair.key)}.sent").mkdir()
    assert send(gateway.url, order_request(pair)).status == 504
    assert call(gateway.url, pair, "CancelAll").errors == []
    assert call(gateway.url, pair, "CancelAllOrdersAfter", "timeout=60").errors == []
    assert orders_sent(fake) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_a_record_that_root_s_gateway_has_made_can_be_used_by_a_service_s(
    gateway: RunningGateway, pair: LocalKey, tmp_path: Path
) -> None:
    """Root has tried out the service's command by hand: the service's gateway would refuse all orders of that bot."""
    state = tmp_path / "state"
    for path in (state, *state.rglob("*")):
        os.chown(path, 12345, 12346)
    assert send(gateway.url, order_request(pair)).errors == []
    directory = state / "gateway_sent"
    for path in (directory, *directory.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


EQUAL = "pair=XBTUSD&type=buy&ordertype=market&volume=0.01&cl_ord_id=bot-1"


def entries(state: Path) -> int:
    """How many requests and orders the only record of a state directory has, if they are a few."""
    (record,) = (state / "gateway_sent").iterdir()
    written = record.read_bytes()[16:1016]
    return sum(any(written[at : at + 10]) for at in range(0, 1000, 10))


def test_an_order_that_got_an_equal_one_s_answer_is_not_sent_later(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, tmp_path: Path
) -> None:
    """A proxy sends its bytes again when both are answered: that is a repeat, and no second order."""
    fake.faults.add("AddOrder", "slow_answer", seconds=0.7)
    second = order_request(pair, EQUAL)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, gateway.url, order_request(pair, EQUAL))
        until(lambda: master.done)
        joined = pool.submit(send, gateway.url, second)
        until(lambda: entries(tmp_path / "state") == 3)
        assert txids(first.result()) == txids(joined.result()) == list(master.done)
    assert_refused_as_at_kraken(send(gateway.url, second))
    assert orders_sent(fake) == 1


def test_an_order_whose_sender_hung_up_while_an_equal_one_was_made_is_not_sent_later(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, tmp_path: Path
) -> None:
    """The first was answered; the second gets the same answer when it comes again, once."""
    fake.faults.add("AddOrder", "slow_answer", seconds=0.7)
    second = order_request(pair, EQUAL)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, gateway.url, order_request(pair, EQUAL))
        until(lambda: master.done)
        send_and_leave(gateway.url, second, lambda: entries(tmp_path / "state") == 3)
        assert txids(first.result()) == list(master.done)
    got = send(gateway.url, second)
    assert txids(got) == list(master.done)
    assert "X-Krakenonce-Repeat" in got.headers
    assert "X-Krakenonce-Executed" not in got.headers  # Kraken's answer, not what was found out
    assert_refused_as_at_kraken(send(gateway.url, second))
    assert orders_sent(fake) == 1


def test_a_repeat_may_be_read_before_the_end_of_the_first_connection(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """A proxy gives up and uses its next connection at once; the gateway is busy meanwhile and sees both together."""
    again = connect(gateway.url)
    again.request("POST", *order_request(pair, "pair=XBTUSD"))
    again.getresponse().read()
    fake.faults.add("AddOrder", "slow_answer", seconds=0.7)
    request = order_request(pair)

    def repeat() -> bool:
        gateway.busy_for(0.3)
        again.request("POST", *request)
        return True

    send_and_leave(gateway.url, request, lambda: master.orders and repeat())
    answer = json.loads(again.getresponse().read())
    again.close()
    assert answer["result"]["txid"] == list(master.orders)
    assert len(master.orders) == 1


def test_an_order_that_is_only_checked_in_the_query_string_is_not_sent_twice(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """Kraken may not read it there, and then it is an order."""
    body, path = f"nonce=5&{ORDER}".encode(), "/0/private/AddOrder?validate=true"
    request = path, body, signed(pair, path, 5, body)
    assert "X-Krakenonce-Nonce" in send(gateway.url, request).headers
    assert_refused_as_at_kraken(send(gateway.url, request))
    assert len(fake.seen) == 1
