"""Each client that guard() knows, over real HTTP: what changes for Kraken, and that nothing changes for the caller."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import requests
import urllib3.connection

from krakenonce.errors import ConfigError
from krakenonce.guards import guard
from tests.integration.guard.families import (
    FAMILIES,
    NAMED,
    ORDER,
    SYNCHRONOUS,
    Family,
    close,
    is_free,
    krakenex_private,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.manager import NonceManager
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

    Use = Callable[[Family, Callable[[Any], Awaitable[Any]]], Any]

every = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
synchronous = pytest.mark.parametrize("family", SYNCHRONOUS, ids=lambda family: family.name)


@pytest.fixture
def use(account: FakeAccount, server: FakeKrakenServer) -> Use:
    """Make a client, do something with it and close it."""

    def run(family: Family, job: Callable[[Any], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            client = family.make(account.key, account.secret, server.url)
            try:
                return await job(client)
            finally:
                await close(client)

        return asyncio.run(whole())

    return run


@every
def test_a_private_call_takes_a_number_and_answers_as_before(
    family: Family, use: Use, fake: FakeKraken, manager: NonceManager
) -> None:
    """Kraken sees a number of 19 digits from the manager; the caller sees the same object, type and result."""

    async def job(client: Any) -> None:
        kind = type(client)
        before = await settled(family.private(client, "Balance"))
        assert guard(client, manager) is client
        assert type(client) is kind
        assert await settled(family.private(client, "Balance")) == before

    use(family, job)
    bare, guarded = fake.arrivals
    assert guarded.nonce == manager.peek()
    assert len(str(guarded.nonce)) == 19
    assert bare.nonce != guarded.nonce


@every
def test_a_public_call_is_left_alone(
    family: Family, use: Use, account: FakeAccount, manager: NonceManager, state: Any
) -> None:
    """A public call uses no number and does not wait for the lane; nothing is even opened."""

    async def job(client: Any) -> Any:
        return await settled(family.public(guard(client, manager)))

    assert "unixtime" in str(use(family, job))
    assert not state.exists()


@every
def test_the_lane_is_held_while_a_private_call_is_made(
    family: Family, use: Use, account: FakeAccount, manager: NonceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else gets the key's lane while the HTTP library sends a private call; a public one leaves it free."""
    free: list[tuple[str, bool]] = []

    def note(url: object) -> None:
        free.append(("private" if "/private/" in str(url) else "public", is_free(manager, account.key)))

    watch_http(monkeypatch, lambda url, _: note(url))

    async def job(client: Any) -> None:
        guard(client, manager)
        await settled(family.private(client, "Balance"))
        await settled(family.public(client))

    use(family, job)
    assert free == [("private", False), ("public", True)]
    assert is_free(manager, account.key)


@every
@pytest.mark.parametrize("case", ["swapped", "in quotes", "not base64: copy the whole private key from Kraken again"])
def test_a_pair_that_cannot_be_right_is_not_sent(
    family: Family, account: FakeAccount, manager: NonceManager, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """A private call raises ConfigError before anything is sent, whichever client it is."""
    sent: list[object] = []
    watch_http(monkeypatch, lambda url, _: sent.append(url))
    pairs = {"swapped": (account.secret, account.key), "in quotes": (f'"{account.key}"', account.secret)}
    pair = pairs.get(case, ("your key", "your secret"))

    async def whole() -> None:
        client = guard(family.make(*pair, "http://127.0.0.1:1"), manager)
        try:
            with pytest.raises(ConfigError, match=f"{case}.* Nothing was sent") as caught:
                await settled(family.private(client, "Balance"))
        finally:
            await close(client)
        assert not any(hidden in str(caught.value) for hidden in (account.key[:9], "your"))

    asyncio.run(whole())
    assert sent == []


@every
def test_a_call_that_fails_gives_the_lane_back(
    family: Family, use: Use, account: FakeAccount, fake: FakeKraken, manager: NonceManager
) -> None:
    """The client's own exception comes through, and the lane is free after it."""
    fake.faults.add("Balance", "process_then_cut")

    async def job(client: Any) -> None:
        guard(client, manager)
        with pytest.raises(Exception, match=r"(?i)disconnected|closed|aborted|kraken"):
            await settled(family.private(client, "Balance"))
        assert is_free(manager, account.key)  # while the task lives: the turn of one that has ended is free anyhow

    use(family, job)


@every
def test_an_order_without_an_answer_is_sent_once(
    family: Family, use: Use, account: FakeAccount, fake: FakeKraken, manager: NonceManager
) -> None:
    """When the connection is cut under an order, nothing below us sends it again, also on a connection used before."""
    fake.faults.add("AddOrder", "process_then_cut")

    async def job(client: Any) -> None:
        guard(client, manager)
        await settled(family.private(client, "Balance"))
        with pytest.raises(Exception, match=r"(?i)disconnected|closed|aborted|kraken"):
            await settled(family.private(client, "AddOrder", dict(ORDER)))

    use(family, job)
    assert [arrival.method for arrival in fake.arrivals] == ["Balance", "AddOrder"]


@every
def test_a_hung_call_ends(family: Family, use: Use, manager: NonceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a timeout gets 30 seconds for private calls; one with a timeout keeps it."""
    seen: list[float | None] = []
    watch_http(monkeypatch, lambda _, timeout: seen.append(getattr(timeout, "total", timeout)))

    async def job(client: Any) -> None:
        guard(client, manager)
        await settled(family.private(client, "Balance"))
        await settled(family.public(client))

    use(family, job)
    assert seen == ([30, None] if family.name.startswith("krakenex") else [10, 10])


@every
def test_a_call_without_a_key_says_so(family: Family, use: Use, fake: FakeKraken, manager: NonceManager) -> None:
    """A private call without a key is a ConfigError; the client may be given its key after it was guarded."""
    name = {"krakenex": "key", "ccxt": "apiKey", "sdk": "_key"}[family.name.split()[0]]

    async def job(client: Any) -> None:
        key = getattr(client, name)
        setattr(client, name, "")
        guard(client, manager)
        with pytest.raises(ConfigError, match="needs an API key"):
            await settled(family.private(client, "Balance"))
        setattr(client, name, key)
        await settled(family.private(client, "Balance"))

    use(family, job)
    assert len(fake.accepted()) == 1


@every
def test_a_client_without_a_key_makes_public_calls(
    family: Family, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Bots ask for the system's status with such a client."""

    async def main() -> None:
        client = guard(family.make("", "", server.url), manager)
        assert await settled(family.public(client))
        await close(client)

    asyncio.run(main())


@every
def test_the_callers_parameters_are_not_changed(
    family: Family, use: Use, fake: FakeKraken, manager: NonceManager
) -> None:
    """What was passed in can be passed again; without guard two of these clients write the nonce into it."""
    params = {"trades": "true"}

    async def job(client: Any) -> None:
        guard(client, manager)
        for _ in range(2):
            await settled(family.private(client, "OpenOrders", params))

    use(family, job)
    assert params == {"trades": "true"}
    assert len(fake.accepted()) == 2


def test_a_krakenex_call_keeps_its_own_timeout(
    use: Use, manager: NonceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout given with the call is kept; another default can be chosen."""
    seen: list[float | None] = []
    watch_http(monkeypatch, lambda _, timeout: seen.append(timeout))

    async def job(api: Any) -> None:
        guard(api, manager, timeout=12)
        api.query_private("Balance")
        api.query_private("Balance", timeout=3)
        api.query_private("Balance", {}, 4)

    use(NAMED["krakenex"], job)
    assert seen == [12, 3, 4]


@synchronous
def test_a_forked_process_opens_connections_of_its_own(
    family: Family, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """A child that inherits a client does not go on writing on its parent's connection."""
    client = guard(family.make(account.key, account.secret, server.url), manager)
    family.private(client, "Balance")
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        told = b"failed"
        try:
            with pytest.MonkeyPatch.context() as patch:
                opened = count_connections(patch)
                for _ in range(2):
                    family.private(client, "Balance")
                told = str(len(opened)).encode()
        finally:
            os.write(theirs, told)
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(ours, 100) == b"1"
    os.close(ours)
    os.close(theirs)
    family.private(client, "Balance")
    asyncio.run(close(client))
    assert len(fake.accepted()) == 4


def test_a_guarded_krakenex_api_can_be_sent_to_a_spawned_process(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken
) -> None:
    """A pickled or deeply copied API is guarded as well, and uses its own key, also if calls were made before."""
    api = guard(NAMED["krakenex"].make(account.key, account.secret, server.url))
    api.query_private("Balance")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(krakenex_private, api, "Balance").result()["error"] == []
    method = pickle.loads(pickle.dumps(api.query_private))  # noqa: S301 - our own
    assert method("Balance")["error"] == []
    method.args[1].close()
    other = fake.add_account("other")
    twin = copy.deepcopy(api)
    twin.key, twin.secret = other.key, other.secret
    twin.query_private("Balance")
    api.query_private("Balance")
    assert [arrival.account for arrival in fake.accepted()] == ["bot", "bot", "bot", "other", "bot"]
    numbers = [str(arrival.nonce) for arrival in fake.accepted()]
    assert numbers == sorted(numbers)
    assert {len(number) for number in numbers} == {19}
    api.close()
    twin.close()


def count_connections(patch: pytest.MonkeyPatch) -> list[object]:
    """Return a list of the connections opened from now on."""
    opened: list[object] = []
    connect = urllib3.connection.HTTPConnection.connect

    def counted(self: urllib3.connection.HTTPConnection) -> None:
        opened.append(self)
        connect(self)

    patch.setattr(urllib3.connection.HTTPConnection, "connect", counted)
    return opened


def watch_http(monkeypatch: pytest.MonkeyPatch, note: Callable[[object, Any], None]) -> None:
    """Call *note* with the address and the timeout of each request that goes to requests or aiohttp."""
    send, request = requests.Session.send, aiohttp.ClientSession._request

    def watched_send(self: requests.Session, prepared: requests.PreparedRequest, **how: Any) -> requests.Response:
        note(prepared.url, how["timeout"])
        return send(self, prepared, **how)

    async def watched_request(self: aiohttp.ClientSession, method: str, url: Any, **how: Any) -> aiohttp.ClientResponse:
        note(url, how.get("timeout"))
        return await request(self, method, url, **how)

    monkeypatch.setattr(requests.Session, "send", watched_send)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", watched_request)
