"""What Kraken has had since 2026, at the gateway; and what reaches the orders of all bots."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.key import not_known
from tests.integration.gateway.conftest import RunningGateway, WatchedKraken, call, fetch, signed

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from tests.integration.gateway.processes import Processes


@pytest.mark.parametrize(
    ("verb", "path", "headers"),
    [
        ("POST", "/funding/v1/withdrawals", {}),
        ("GET", "/funding/v1/methods/withdraw?limit=50", {}),
        ("POST", "/0/private/../../funding/v1/withdrawals", {}),
        ("POST", "/0/private/%2e%2e/%2e%2e/Funding/v1/x", {}),
        ("GET", "/0/public/../../funding/v1/x", {}),
        ("POST", "/0/private/Balance", {"API-Nonce": "1"}),
        ("GET", "/0/public/Time", {"api-nonce": "1"}),
        ("POST", "/v1/nonce", {"API-Nonce": "1"}),
    ],
)
def test_the_funding_api_is_refused_by_name(
    gateway: RunningGateway, fake: WatchedKraken, verb: str, path: str, headers: dict[str, str]
) -> None:
    """In Kraken's form, with the whole reason; nothing is sent, whatever the local key may call."""
    local = gateway.add("all", "query", "other", "nonce", "withdraw")
    got = fetch(gateway.url, verb, path, b"nonce=1", {**signed(local, path, 1, b"nonce=1"), **headers})
    assert (got.status, got.errors) == (404, ["EGeneral:Unknown method"])
    assert got.headers["X-Krakenonce-Executed"] == "no"
    explanation = got.headers["X-Krakenonce-Explanation"]
    assert explanation.startswith("Kraken's Funding API (/funding/v1, its nonce in the header API-Nonce) is not supp")
    assert explanation.endswith("such as Withdraw and DepositStatus")
    assert (fake.seen, fake.public_calls) == ([], [])


@pytest.mark.parametrize(
    ("method", "group"),
    [
        ("AddStrategy", "trade"),
        ("CancelStrategy", "cancel"),
        ("GetOpenStrategies", "query"),
        ("ListWalletAccounts", "query"),
        ("CancelAll", "cancel-all"),
        ("CancelAllOrdersAfter", "cancel-all"),
    ],
)
def test_each_newer_method_needs_its_group(
    gateway: RunningGateway, fake: WatchedKraken, method: str, group: str
) -> None:
    """A key for what krakenonce does not know starts no strategy, and one that trades cancels no other bot's orders."""
    others = [each for each in ("query", "trade", "cancel", "other", "token", "withdraw") if each != group]
    others = [each for each in others if (each, group) != ("trade", "cancel")]
    got = call(gateway.url, gateway.add("others", *others), method, "timeout=60")
    assert got.errors == ["EGeneral:Permission denied"]
    assert fake.arrivals == []
    call(gateway.url, gateway.add("right", group), method, "timeout=60")
    assert [arrival.method for arrival in fake.arrivals] == [method]


def test_a_key_from_before_is_told_how_to_cancel_all_again(
    gateway: RunningGateway, fake: WatchedKraken, tmp_path: Path
) -> None:
    """A panic button of an older version may cancel by id; the answer has the command that gives it the rest back."""
    local = gateway.add("panic-button", "cancel")
    explanation = call(gateway.url, local, "CancelAll").headers["X-Krakenonce-Explanation"]
    assert "needs the group cancel-all, as the method reaches the orders of all bots of the account" in explanation
    assert explanation.endswith("krakenonce gateway change-key --name panic-button --add cancel-all")
    LocalKeys(tmp_path / "state" / "gateway_keys.json").change("panic-button", {"cancel-all"}, frozenset())
    assert call(gateway.url, local, "CancelAll").errors == []
    assert [arrival.method for arrival in fake.arrivals] == ["CancelAll"]


def test_keys_that_may_not_cancel_all_any_more_are_named_at_the_start(processes: Processes) -> None:
    """A panic button must not be found out when it is needed. Keys that trade lose it without a word in the log."""
    for name, groups in (("panic", {"cancel"}), ("bot", {"query", "trade"}), ("new", {"cancel", "cancel-all"})):
        processes.local_keys.add(name, "MASTER", frozenset(groups))
    code, said = processes.run("0.0.0.0:0")  # it needs TLS there, so it does not come to serve
    assert code == 1
    assert "which these local keys with cancel do not have: panic. To add it:" in said


def test_a_method_that_is_not_known_is_said_once(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is sent, and not when it is refused for its group."""
    monkeypatch.setattr(not_known, "_said", {})
    local: LocalKey = gateway.add("all", "query", "other")
    with caplog.at_level(logging.WARNING, "krakenonce"):
        call(gateway.url, gateway.add("bot"), "Refused")
        for method in ("NewThing", "Balance", "NewThing"):
            call(gateway.url, local, method)
    told = [text for text in caplog.messages if "is not known to this version" in text]
    assert [text.split(" is not known")[0] for text in told] == ["Kraken's method NewThing"]
