"""The one line itself: which clients, which manager, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import ccxt
import krakenex
import pytest
import requests
from kraken.futures import User as FuturesUser
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from krakenonce.brokers import KrakenBroker
from krakenonce.errors import ConfigError
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.guards import Turns, guard, turns
from krakenonce.manager import NonceManager
from tests.integration.guard.families import FAMILIES, NAMED, Family

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


@pytest.fixture
def api(account: FakeAccount, server: FakeKrakenServer) -> Iterator[krakenex.API]:
    """A krakenex API."""
    made = NAMED["krakenex"].make(account.key, account.secret, server.url)
    yield made
    made.close()


class Unknown:
    """A client that nobody knows, with a counter of its own."""

    def __init__(self, account: FakeAccount, url: str) -> None:
        self.api = NAMED["krakenex"].make(account.key, account.secret, url)
        self.key = account.key
        self.api._nonce = self._nonce

    def make_nonce(self) -> int:
        """Make a number."""
        return 1

    def _nonce(self) -> int:
        return self.make_nonce()

    def private(self, method: str) -> Any:
        """Make a private call."""
        return self.api.query_private(method)


@pytest.mark.parametrize("client", [object(), requests.Session()], ids=type)
def test_an_unknown_client_is_told_what_to_do(client: object) -> None:
    """The message names the class, the clients known, the client inside, and the ten lines for another one."""
    with pytest.raises(ConfigError, match=type(client).__qualname__) as caught:
        guard(client)
    for said in (
        "krakenex.API, ccxt.kraken",
        "guard(client.api)",
        "adapter=f",
        "turns.lane(key)",
        "turns.next(key)",
        "docs/how-to/write-an-adapter.md",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize("client", [FuturesUser(), ccxt.krakenfutures()], ids=type)
def test_a_futures_client_is_told_that_it_is_one(client: object) -> None:
    """Kraken Futures has another API and other nonces: no adapter would help."""
    with pytest.raises(ConfigError, match="Kraken Futures has another API and other nonces") as caught:
        guard(client)
    assert "adapter" not in str(caught.value)


class Wrapper:
    """A client as pykrakenapi has it: a krakenex API with other methods around it."""

    def __init__(self, api: krakenex.API) -> None:
        self.wait = 1.0
        self.api = api


def test_a_wrapper_is_told_which_client_to_guard(api: krakenex.API) -> None:
    """The message has the line to write, and that line works."""
    client = Wrapper(api)
    with pytest.raises(ConfigError, match=r"guard the client inside, with guard\(client\.api\)"):
        guard(client)
    assert guard(client.api) is api


def test_another_client_is_guarded_by_an_adapter(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """An adapter of a few lines, as the message says, gives an unknown client its turns and numbers."""

    def adapter(client: Unknown, turns: Turns) -> None:
        send = client.private

        def private(method: str) -> Any:
            with turns.lane(client.key):
                return send(method)

        client.private = private  # type: ignore[method-assign] # that is what adapters do
        client.make_nonce = lambda: turns.next(client.key)  # type: ignore[method-assign] # as above

    client = guard(Unknown(account, server.url), manager, adapter=adapter)
    assert guard(client, manager, adapter=adapter) is client
    for _ in range(2):
        assert client.private("Balance")["error"] == []
    client.api.close()
    assert fake.arrivals[-1].nonce == manager.peek()


def test_nothing_is_opened_before_the_first_private_call(api: krakenex.API, state: Path) -> None:
    """Guarding makes no manager and no directory; the first private call makes one manager for the whole process."""
    guard(api)
    guard(krakenex.API()).close()
    assert turns._shared == {}
    assert not state.exists()
    api.query_private("Balance")
    assert list(turns._shared) == ["manager"]
    assert state.exists()


def test_all_clients_of_a_process_share_a_manager() -> None:
    """Without a manager of its own, every client has the same."""
    assert Turns(None, 1).manager is Turns(None, 1).manager


def test_guarding_twice_changes_nothing(api: krakenex.API, fake: FakeKraken, manager: NonceManager) -> None:
    """The same manager again leaves the object as it is: one number per call."""
    guard(api, manager)
    before = dict(vars(api))
    guard(api, manager)
    assert vars(api) == before
    api.query_private("Balance")
    assert manager.stats().issued == 1


def test_guarding_with_another_manager_replaces_the_first(
    api: krakenex.API, fake: FakeKraken, manager: NonceManager, tmp_path: Path
) -> None:
    """Turns and numbers then come from the other manager alone."""
    other = NonceManager(tmp_path / "other")
    guard(guard(api, other), manager)
    api.query_private("Balance")
    assert other.peek() is None
    assert fake.arrivals[-1].nonce == manager.peek()


def test_a_key_with_a_counter_of_its_own_uses_it(
    api: krakenex.API, account: FakeAccount, fake: FakeKraken, manager: NonceManager
) -> None:
    """A key that must live far ahead of the clock takes its numbers from its own scope."""
    manager.raise_floor(5 * 10**18, manager.own_scope(account.key))
    guard(api, manager).query_private("Balance")
    assert fake.accepted()[-1].nonce == 5 * 10**18 + 1


@pytest.mark.parametrize("timeout", [0, -1.0, None])
def test_a_timeout_that_would_never_end_a_call_is_refused(timeout: float) -> None:
    """A call that hangs for ever would keep everybody waiting."""
    api = krakenex.API()
    with pytest.raises(ConfigError, match="timeout"):
        guard(api, timeout=timeout)
    api.close()


@pytest.mark.parametrize(
    "family", [each for each in FAMILIES if each.name in ("krakenex", "ccxt")], ids=lambda each: each.name
)
@pytest.mark.parametrize(
    ("retry", "refused"),
    [
        (Retry(3, allowed_methods=None), True),
        (Retry(3, allowed_methods=["GET", "POST"], status_forcelist=[502]), True),
        (Retry(3, status_forcelist=[502]), False),
        (Retry(0, allowed_methods=None), False),
        (3, False),
    ],
    ids=str,
)
def test_a_session_that_repeats_posts_is_refused(family: Family, retry: Retry | int, *, refused: bool) -> None:
    """A session set to send a POST again after a failure would place orders twice; other settings are left alone."""
    client = family.make("key", "c2VjcmV0", "http://127.0.0.1:1")
    with requests.Session() as client.session:
        client.session.mount("https://", HTTPAdapter(max_retries=retry))
        if refused:
            with pytest.raises(ConfigError, match="repeats POST"):
                guard(client)
            assert "query_private" not in vars(client)
            assert "fetch" not in vars(client)
        else:
            assert guard(client) is client


@pytest.mark.parametrize("broker_first", [True, False])
def test_a_broker_can_use_a_guarded_api(
    api: krakenex.API, fake: FakeKraken, tmp_path: Path, *, broker_first: bool
) -> None:
    """The broker holds the lane, and its own number is sent; calls beside it are in order too."""
    nonces = GlobalKrakenNonceManager(NonceManager(tmp_path / "other"))
    if not broker_first:
        guard(api, nonces.manager)
    broker = KrakenBroker("MASTER", api, nonces=nonces)
    if broker_first:
        guard(api, nonces.manager)
    for _ in range(3):
        assert broker._kraken_private_call("Balance")["error"] == []
        assert fake.arrivals[-1].nonce == nonces.manager.peek()
        assert api.query_private("Balance")["error"] == []
    assert nonces.manager.stats().issued == 6
    assert len(fake.accepted()) == 6


def test_the_root_offers_it() -> None:
    """Whoever imports the package first, `krakenonce.guard(client)` works."""
    code = (
        "import krakenonce.guards\n"
        "from krakenonce.guards import Adapter, Turns\n"
        "class Client: pass\n"
        "client = Client()\n"
        "seen = []\n"
        "assert krakenonce.guard(client, timeout=7, adapter=lambda c, t: seen.append((c, t.timeout))) is client\n"
        "assert seen == [(client, 7)]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_it_loads_no_client() -> None:
    """The clients are somebody else's: none is imported, and no HTTP library."""
    code = (
        "import sys\n"
        "from krakenonce.guards import guard\n"
        "heavy = {'krakenex', 'ccxt', 'kraken', 'requests', 'urllib3', 'aiohttp', 'asyncio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
