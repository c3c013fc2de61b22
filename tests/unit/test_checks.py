"""A setting of the wrong kind is refused where it is given, by name, and before anything is opened or sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import krakenex
import pytest

from krakenonce import NonceManager, guard
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, KrakenBroker
from krakenonce.errors import ConfigError
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "c2VjcmV0"
ALICE = Account("USER:alice", "key", SECRET)
CLIENTS: list[Callable[..., Any]] = [Kraken, AsyncKraken]
MANAGERS: list[Callable[..., Any]] = [BrokerManager, AsyncBrokerManager]
WRONG_FOR_CLIENTS: list[tuple[str, object]] = [
    *(("timeout", value) for value in ("5", None, 0, -1.0, math.nan, math.inf, True)),
    *(("max_wait", value) for value in (None, "60", -1, math.nan)),
    *(("manager", value) for value in ("/path", 5, NonceManager, GlobalKrakenNonceManager)),
    *(("scope", value) for value in (5, b"global")),
    *(("tier", value) for value in (None, ["pro"], 3)),
    *(("serialization", value) for value in (None, ["key"])),
    *(("base_url", value) for value in (None, 5, b"http://localhost")),
    *(("transport", value) for value in ("http://localhost", 5)),
]


@pytest.mark.parametrize(("name", "value"), WRONG_FOR_CLIENTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_refuses_a_wrong_setting(client: Callable[..., Any], name: str, value: object) -> None:
    """At once, with the setting's name, and not by the first call."""
    with pytest.raises(ConfigError, match=name.replace("_url", " URL").replace("base", "(?i)base")):
        client("key", SECRET, **{name: value})


@pytest.mark.parametrize(("key", "secret"), [(None, SECRET), ("key", None), (b"key", SECRET), ("key", 5)])
@pytest.mark.parametrize("client", CLIENTS)
def test_credentials_are_text(client: Callable[..., Any], key: Any, secret: Any) -> None:
    """An environment variable that is not set is found here, and what was given is not quoted."""
    with pytest.raises(ConfigError, match=r"must be text, not") as caught:
        client(key, secret)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("client", CLIENTS)
def test_whole_seconds_and_no_patience_are_fine(client: Callable[..., Any], tmp_path: Path) -> None:
    """What is a number of seconds is taken as one."""
    client("key", SECRET, manager=NonceManager(tmp_path), timeout=5, max_wait=0)
    client("key", SECRET, manager=NonceManager(tmp_path), timeout=0.5, max_wait=math.inf)


def test_the_transports_are_not_mixed_up() -> None:
    """The other client's transport would fail only after the call was sent."""
    with pytest.raises(ConfigError, match=r"AsyncTransport"):
        Kraken("key", SECRET, transport=AsyncTransport("http://localhost"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Transport"):
        AsyncKraken("key", SECRET, transport=Transport("http://localhost"))  # type: ignore[arg-type]


def test_a_global_manager_is_told_from_its_own_manager(tmp_path: Path) -> None:
    """The two are easily mixed up: each message names what to give instead."""
    nonces = GlobalKrakenNonceManager(NonceManager(tmp_path))
    with pytest.raises(ConfigError, match=r"pass its \.manager"):
        Kraken("key", SECRET, manager=nonces)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"GlobalKrakenNonceManager\("):
        BrokerManager([ALICE], nonces=nonces.manager)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("accounts", value) for value in ({"USER:alice": ALICE}, ["alice"], "alice", 5, ALICE)),
        *(("nonces", value) for value in ("/path", 5)),
        *(("base_url", value) for value in (None, 5)),
        *(("serialization", value) for value in (None, "all")),
    ],
)
@pytest.mark.parametrize("manager", MANAGERS)
def test_a_broker_manager_refuses_a_wrong_setting(
    manager: Callable[..., Any], name: str, value: object, nonces: GlobalKrakenNonceManager
) -> None:
    """As the clients do."""
    told = name.replace("_url", " URL").replace("base", "(?i)base")
    with pytest.raises(ConfigError, match=told):
        manager(**{"accounts": [ALICE], "nonces": nonces, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("nonces", "/path"), ("credentials", "key"), ("account_identifier", None), ("base_url", 5), ("transport", "x")],
)
def test_a_broker_refuses_a_wrong_setting(name: str, value: object, nonces: GlobalKrakenNonceManager) -> None:
    """As the clients do."""
    settings: dict[str, Any] = {"account_identifier": "MASTER", "nonces": nonces, name: value}
    with pytest.raises(ConfigError, match=name.replace("_url", " URL").replace("base", "(?i)base")):
        KrakenBroker(**settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"timeout": "5"}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"manager": "/path"}, "manager"),
        ({"adapter": 5}, "adapter"),
    ],
    ids=str,
)
def test_guard_refuses_a_wrong_setting(settings: dict[str, Any], told: str) -> None:
    """The client stays as it was."""
    api = krakenex.API("key", SECRET)
    with pytest.raises(ConfigError, match=told):
        guard(api, **settings)
    assert set(vars(api)) == set(vars(krakenex.API("key", SECRET)))


def test_guard_wants_a_client_and_not_its_class() -> None:
    """On the class it would change every client there is, and none of them properly."""
    before = dict(vars(krakenex.API))
    with pytest.raises(ConfigError, match=r"not its class: write guard\(API\(\.\.\.\)\)"):
        guard(krakenex.API)
    assert dict(vars(krakenex.API)) == before


@pytest.mark.parametrize("store", [5, b"/path", {"url": "memory:"}, ["memory:"]], ids=str)
def test_a_manager_needs_a_store(store: Any) -> None:
    """A store, a URL or a path."""
    with pytest.raises(ConfigError, match="store"):
        NonceManager(store)


def test_a_global_manager_needs_a_manager() -> None:
    """And not the path of one."""
    with pytest.raises(ConfigError, match="manager"):
        GlobalKrakenNonceManager("/path")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["timeout", "within"])
@pytest.mark.parametrize("value", ["5", math.nan, True])
def test_a_call_s_own_time_limit_is_a_number(name: str, value: Any, tmp_path: Path) -> None:
    """Nothing is sent for the sake of one that is none."""
    client = Kraken("key", SECRET, manager=NonceManager(tmp_path), base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=name):
        client.run(client.calls.private("Balance", {}), **{name: value})


@pytest.fixture
def nonces(tmp_path: Path) -> GlobalKrakenNonceManager:
    """A manager that is not this process's own."""
    return GlobalKrakenNonceManager(NonceManager(tmp_path))
