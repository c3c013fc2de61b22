"""``run(..., within=...)`` on both clients: what is not sent in time is never sent."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import CallTimeout, LaneTimeout, OutcomeUnknown, RequestNotSent
from krakenonce.key.counting import Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS
from krakenonce.kraken import AsyncKraken, queries
from krakenonce.kraken.request import PrivateCall
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import OK, SILENCE, ScriptedServer, Twin, held
from tests.integration.kraken.test_client import KEY, SECRET

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken, FakeKrakenServer

BALANCE = PrivateCall("Balance", {})


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


def made(kind: str, url: str, **more: Any) -> Twin:
    """Return a client with numbers of its own."""
    return Twin(kind, KEY, SECRET, **{"manager": NonceManager("memory:"), "tier": "none", "base_url": url, **more})


def run(twin: Twin, within: float, method: str = "AddOrder") -> Any:
    """Make one call within a time."""
    return twin("run", twin.client.calls.once(method, {}), within=within)


def test_a_call_in_time_is_like_any_other(kind: str) -> None:
    """With time to spare nothing changes."""
    with ScriptedServer(OK) as server, made(kind, server.url) as twin:
        assert run(twin, 20) == {"error": [], "result": {}}


@pytest.mark.parametrize("within", [0, -1])
def test_without_any_time_nothing_is_sent(kind: str, within: float) -> None:
    """A time that is over when the call begins is a CallTimeout."""
    with ScriptedServer() as server, made(kind, server.url) as twin, pytest.raises(CallTimeout) as caught:
        run(twin, within)
    assert server.requests == []
    assert caught.value.may_have_executed == "no"
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("serialization", ["key", "global"])
def test_a_turn_that_does_not_come_in_time_is_given_up(kind: str, serialization: str) -> None:
    """Somebody else holds the lane: nothing is sent, no number is used, and the lane is not left taken."""
    manager = NonceManager("memory:")
    with (
        ScriptedServer(OK) as server,
        made(kind, server.url, manager=manager, serialization=serialization) as twin,
        held(manager.lane(KEY)) as let_go,
    ):
        with pytest.raises(LaneTimeout):
            run(twin, 0.05)
        assert (server.requests, manager.peek()) == ([], None)
        let_go()
        assert run(twin, 20)


def test_the_second_turn_is_waited_for_only_in_the_time_that_is_left(kind: str) -> None:
    """With one line for all keys there are two lanes to take: what the first took is not given again."""
    with made(kind, "http://127.0.0.1:1", serialization="global") as twin:
        until = time.monotonic() + 20
        lanes = list(twin.client._turn(BALANCE, until))
        assert [lane._timeout <= 20 for lane in lanes] == [True, True]
        assert lanes[1]._timeout < lanes[0]._timeout
        with pytest.raises(CallTimeout):
            next(twin.client._turn(BALANCE, time.monotonic()))


def test_a_wait_for_the_limits_that_is_too_long_is_not_begun(kind: str) -> None:
    """The limits would have room only later than the time given: a CallTimeout at once."""
    with ScriptedServer(*[OK] * 30) as server, made(kind, server.url, tier="starter") as twin:
        sent = 0
        with contextlib.suppress(CallTimeout):
            while sent < 30:
                run(twin, 0.5, "Balance")
                sent += 1
        said = r"Not sent: .* ends in 0\.\d s\. Kraken's rate limit allows it only in \d\.\d s"
        with pytest.raises(CallTimeout, match=said):
            run(twin, 0.5, "Balance")
        assert 10 < len(server.requests) == sent < 20


def limits_are_untouched(manager: NonceManager) -> bool:
    """Whether nothing is counted for the key, and no call keeps a place."""
    limiter, tier = Limiter(manager.store.rate_limits), TIERS["starter"]
    places = [Place(KEY, tier, "Balance", {}) for _ in range(15)]
    waits = [limiter.book(place, 60).wait for place in places]
    for place in places:
        limiter.leave(place)
    return waits[:14] == [0.0] * 14 and waits[14] > 0


def test_a_call_whose_turn_does_not_come_in_time_leaves_its_place_in_the_limits(kind: str) -> None:
    """It was told to go and waited for another call to end: what was not sent is not counted."""
    manager = NonceManager("memory:")
    with (
        made(kind, "http://127.0.0.1:1", manager=manager, tier="starter") as twin,
        held(manager.lane(KEY)),
        pytest.raises(LaneTimeout),
    ):
        run(twin, 0.05)
    assert limits_are_untouched(manager)


def test_a_call_without_a_connection_leaves_its_place_in_the_limits(kind: str) -> None:
    """Nobody listens there."""
    manager = NonceManager("memory:")
    with (
        made(kind, "http://127.0.0.1:1", manager=manager, tier="starter") as twin,
        pytest.raises(RequestNotSent),
    ):
        run(twin, 20)
    assert limits_are_untouched(manager)


@pytest.mark.parametrize("waits_for", ["the limits", "its turn"])
def test_a_task_that_is_cancelled_leaves_its_place_in_the_limits(waits_for: str) -> None:
    """As asyncio.wait_for() cancels it, while it waits for room or for its turn."""
    manager = NonceManager("memory:")

    async def main() -> None:
        async with AsyncKraken(KEY, SECRET, manager=manager, base_url="http://127.0.0.1:1") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.query_private("Balance"), 0.1)

    if waits_for == "its turn":
        with held(manager.lane(KEY)):
            asyncio.run(main())
    else:
        places = [Place(KEY, TIERS["starter"], "Balance", {}) for _ in range(14)]
        for place in places:
            Limiter(manager.store.rate_limits).book(place, 0)
        asyncio.run(main())
        for place in places:
            Limiter(manager.store.rate_limits).leave(place)
    assert limits_are_untouched(manager)


def test_ctrl_c_during_a_wait_leaves_the_place_in_the_limits() -> None:
    """The main thread waits for room when SIGINT comes."""
    manager = NonceManager("memory:")
    for _ in range(14):
        Limiter(manager.store.rate_limits).send(Place(KEY, TIERS["starter"], "Balance", {}))
    with made("sync", "http://127.0.0.1:1", manager=manager, tier="starter") as twin:
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                run(twin, 20, "Balance")
        finally:
            signal.signal(signal.SIGALRM, before)
    assert Limiter(manager.store.rate_limits).book(Place(KEY, TIERS["starter"], "Balance", {}), 60).wait < 1.2


def test_an_answer_that_does_not_come_in_time_is_an_unknown_outcome(kind: str) -> None:
    """It was sent; the client's own patience is longer."""
    with ScriptedServer(SILENCE) as server, made(kind, server.url) as twin:
        with pytest.raises(OutcomeUnknown):
            run(twin, 0.2)
        assert len(server.requests) == 1
        twin("close")


def test_what_would_be_repeated_later_is_not(kind: str) -> None:
    """A read is asked again after a pause, but not after its time: the first error comes up."""
    with ScriptedServer() as server, made(kind, server.url) as twin:
        with pytest.raises(OutcomeUnknown):
            twin("run", queries.balances(twin.client.calls), within=0.15)
        assert len(server.requests) == 1


def test_a_slow_name_lookup_does_not_send_the_call_late(
    kind: str, server: FakeKrakenServer, fake: FakeKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name's address comes when the time is over: the call is not sent any more."""
    real = socket.getaddrinfo
    looked_up = threading.Event()

    def slow(*args: Any, **more: Any) -> Any:
        time.sleep(0.5)  # what a slow name server does
        found = real(*args, **more)
        looked_up.set()
        return found

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with made(kind, server.url.replace("127.0.0.1", "localhost")) as twin:
        with pytest.raises((RequestNotSent, CallTimeout)) as caught:
            run(twin, 0.2)
        assert looked_up.wait(20)
        monkeypatch.undo()
        assert twin("server_time")  # and the client goes on
    assert caught.value.may_have_executed == "no"
    assert fake.arrivals == []


def test_a_call_with_its_own_number_has_the_same_time_limit(kind: str) -> None:
    """Who brings the number has the turn already; too late it is not sent, and nobody waits longer for the answer."""
    with ScriptedServer(OK, SILENCE) as server, made(kind, server.url) as twin:

        def own(within: float) -> Any:
            return twin("run", twin.client.calls.once("Balance", {"nonce": 5}), within=within)

        with pytest.raises(CallTimeout):
            own(0)
        assert server.requests == []
        assert own(20) == {"error": [], "result": {}}
        with pytest.raises(OutcomeUnknown):
            own(0.2)
        assert len(server.requests) == 2
        twin("close")
