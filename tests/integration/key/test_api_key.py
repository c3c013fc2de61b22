"""One API key: what Kraken's answers mean for it is the same for the clients and for the gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import errors
from krakenonce.backends import FileStore, MemoryStore
from krakenonce.brokers import Account
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.guards.turns import Turns
from krakenonce.key import api_key
from krakenonce.key.answers import refusal_in
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.key.lockout import LOCKOUT
from krakenonce.key.naming import fingerprint
from krakenonce.key.strings import STRINGS
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.kraken_time import KrakenTime
from krakenonce.kraken.request import Answer, PrivateCall
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from tests.integration.key.helpers import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KNOWN = {text: kind for kind, texts in STRINGS.items() for text in texts}
STARTER = TIERS["starter"]
ACCOUNT = Account("MASTER", "a key", "c2VjcmV0", "starter")
Heard = tuple[type[errors.KrakenAPIError] | None, float, float]


def by_a_client(manager: NonceManager, reply: dict[str, Any]) -> errors.KrakenAPIError | None:
    """Hand an answer to the clients' rules."""
    calls = Calls([ApiKey(manager, ACCOUNT.key, STARTER)], 60.0, KrakenTime())
    call = PrivateCall("Balance", {})
    if (due := calls.settle(call, reply)) is not None:
        due.take()
    return call.refusal


def by_the_gateway(manager: NonceManager, reply: dict[str, Any]) -> errors.KrakenAPIError | None:
    """Hand an answer to the gateway, as it came over HTTP."""
    key = KrakenAccount(
        ACCOUNT,
        manager,
        AsyncTransport("http://127.0.0.1:1"),
        queue_length=1,
        max_wait=1.0,
        timeout=1.0,
        order_timeout=1.0,
        on_turn=lambda _: None,
    ).keys[0]
    place = key.api_key.place("Balance", {})
    return asyncio.run(key.settle(Answer(200, "application/json", json.dumps(reply).encode()), place))


def heard(door: Callable[[NonceManager, dict[str, Any]], errors.KrakenAPIError | None], *strings: str) -> Heard:
    """Return how an answer was understood, for how long the key is closed, and how full its counter is."""
    manager = NonceManager("memory:", clock=ManualClock())
    refusal = door(manager, {"error": list(strings), "result": {}})
    key = ApiKey(manager, ACCOUNT.key, STARTER)
    return (type(refusal) if refusal else None, key.locked_out(), key.levels().rest)


@pytest.mark.parametrize("first", [(), ("WGeneral:Something new",), ("EGeneral:Unheard of",)], ids=str)
@pytest.mark.parametrize("string", sorted(KNOWN))
def test_every_known_string_means_the_same_to_the_clients_and_to_the_gateway(
    string: str, first: tuple[str, ...]
) -> None:
    """Alone, after a warning, and after an unknown string."""
    kind, closed, level = heard(by_a_client, *first, string)
    assert heard(by_the_gateway, *first, string) == (kind, closed, level)
    assert kind is KNOWN[string]
    assert closed == (LOCKOUT if kind is errors.LockedOut else 0.0)
    assert level == (STARTER.rest_max if kind is errors.RateLimited else 0.0)


@pytest.mark.parametrize("door", [by_a_client, by_the_gateway])
def test_a_warning_alone_is_no_refusal(door: Callable[..., Any]) -> None:
    """The call was made."""
    assert heard(door, "WGeneral:Temporary lockout") == (None, 0.0, 0.0)


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"[]", b'"EGeneral:Temporary lockout"', b"[" * 100_000])
def test_what_is_no_answer_of_kraken_s_api_is_no_refusal(data: bytes, tmp_path: Path) -> None:
    """A file, or a page that is not Kraken's; nor does it end the gateway's call."""
    manager = NonceManager(tmp_path)
    key = KrakenAccount(
        ACCOUNT,
        manager,
        AsyncTransport("http://127.0.0.1:1"),
        queue_length=1,
        max_wait=1.0,
        timeout=1.0,
        order_timeout=1.0,
        on_turn=lambda _: None,
    ).keys[0]
    assert asyncio.run(key.settle(Answer(200, "", data), key.api_key.place("RetrieveExport", {}))) is None
    assert key.api_key.locked_out() == 0.0


def test_an_error_that_is_no_list_is_a_refusal_all_the_same() -> None:
    """Something between Kraken and us may write it so."""
    assert isinstance(refusal_in({"error": "EGeneral:Temporary lockout"}), errors.LockedOut)
    assert refusal_in({"error": None}) is None


@pytest.mark.parametrize("ended_by", ["a second", "a refusal", "a floor"])
def test_which_counter_a_key_uses_is_looked_up_again(
    tmp_path: Path, ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process gives the key a counter of its own: seen after a second, an Invalid nonce, or at once here."""
    now = itertools.repeat(100.0)
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    manager = NonceManager(tmp_path)
    before = manager.next_for(ACCOUNT.key)
    own = manager.own_scope(ACCOUNT.key)
    other = manager if ended_by == "a floor" else NonceManager(tmp_path)
    other.raise_floor(2**62, own)
    if ended_by == "a second":
        assert before < manager.next_for(ACCOUNT.key) < 2**62
        now = itertools.repeat(101.0)
    elif ended_by == "a refusal":
        assert before < manager.next_for(ACCOUNT.key) < 2**62
        key = ApiKey(manager, ACCOUNT.key)
        key.settle(key.place("Balance", {}), errors.InvalidNonce("no", ("EAPI:Invalid nonce",)))
    assert manager.next_for(ACCOUNT.key) == 2**62 + 1


def by_a_guarded_client(manager: NonceManager, reply: dict[str, Any]) -> None:
    """Hand an answer to what an adapter uses."""
    Turns(manager, 60.0).heard(ACCOUNT.key, reply)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, str]]:
    """No key of this process has had an Invalid nonce."""
    nobody: set[tuple[int, str]] = set()
    monkeypatch.setattr(api_key, "_refused", nobody)
    return nobody


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("door", [by_a_client, by_the_gateway, by_a_guarded_client])
def test_the_first_invalid_nonce_of_a_key_asks_who_shares_the_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, door: Callable[..., Any]
) -> None:
    """Once per process, with the state in use and the fingerprint of the key, whoever made the call."""
    manager = NonceManager(tmp_path)
    for _ in range(2):
        door(manager, {"error": ["EAPI:Invalid nonce"]})
    said = (
        f"Kraken refused a nonce of key {fingerprint(ACCOUNT.key)}. This process keeps the key's nonces and turns in "
        f"FileStore('{tmp_path}'), for the processes of one host. Does every process that uses this key name this same "
        "state, in KRAKENONCE_STATE_DIR, --state or NonceManager()?"
    )
    assert [each for each in caplog.record_tuples if each[0] == "krakenonce"] == [("krakenonce", logging.WARNING, said)]
    assert ACCOUNT.key not in caplog.text


@pytest.mark.usefixtures("refused")
def test_each_key_and_each_process_asks_for_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A forked child may have another log."""

    def refuse(key: str) -> int:
        one = ApiKey(NonceManager(tmp_path), key)
        one.settle(one.place("Balance", {}), errors.InvalidNonce("no", ("EAPI:Invalid nonce",)))
        return caplog.text.count("Does every process")

    assert [refuse("one"), refuse("two"), refuse("one")] == [1, 2, 2]
    assert in_child(lambda: refuse("one")) == "3"


@pytest.mark.usefixtures("refused")
def test_other_refusals_ask_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They say nothing about who shares the state."""
    for string in (each for each, kind in KNOWN.items() if kind is not errors.InvalidNonce):
        by_a_client(NonceManager(tmp_path), {"error": [string]})
    assert "Does every process" not in caplog.text


@pytest.mark.parametrize("kind", ["one memory store", "one file store", "two file stores"])
def test_two_managers_over_one_state_share_a_key_s_limits(tmp_path: Path, kind: str) -> None:
    """A lockout that one sees closes the key for the other, and what one has sent counts for both."""
    store = MemoryStore() if kind == "one memory store" else FileStore(tmp_path)
    other = FileStore(tmp_path) if kind == "two file stores" else store
    ours, theirs = (ApiKey(NonceManager(each), ACCOUNT.key, STARTER) for each in (store, other))
    assert theirs.levels().rest == theirs.locked_out() == 0.0
    ours.count(ours.place("Ledgers", {}))
    assert 1.0 < theirs.levels().rest <= 2.0
    ours.settle(ours.place("Balance", {}), errors.LockedOut("no", ("EGeneral:Temporary lockout",)))
    assert LOCKOUT - 10 < theirs.locked_out() <= LOCKOUT
