"""What Kraken has had since 2026: strategies, wallets, advisories, and an API with its nonce in a header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError, OutcomeUnknown
from krakenonce.key import not_known
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import CUT, HTML_502, OK, ScriptedServer, Twin

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken

TWAP = {"symbol": "BTC/USD", "strategy_type": "twap", "side": "buy", "volume": "1", "ordertype": "market"}
STRATEGY = "ASMBA64-R23M2-J7JRJV"
FUNDING = [
    "/funding/v1/methods/withdraw",
    "funding/v1",
    "Funding/V1/x",
    "../../funding/v1/x?account_id=AA12",
    "%2e%2e/..%2Ffunding%2Fv1/x",
    "..\\..\\funding\\v1\\x",
    "%25%32%65/%2566unding/v1",
    "/0/private/../../funding/v1/x",
    "https://api.kraken.com/funding/v1/x",
]


def answer(result: object) -> bytes:
    """Return an answer of Kraken's as it goes over the wire."""
    body = json.dumps({"error": [], "result": result}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture
def manager() -> NonceManager:
    """Where nonces come from."""
    return NonceManager("memory:")


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the two clients."""
    return str(request.param)


def client(kind: str, account: FakeAccount, kraken: ScriptedServer, manager: NonceManager) -> Twin:
    """Return a client that calls a scripted server."""
    return Twin(kind, account.key, account.secret, manager=manager, tier="none", base_url=kraken.url)


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has said nothing yet about methods that are not known."""
    monkeypatch.setattr(not_known, "_said", {})


# --- the Funding API -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["private", "query_private", "public", "query_public"])
@pytest.mark.parametrize("path", FUNDING)
def test_the_funding_api_is_refused_by_name(twin: Twin, fake: FakeKraken, way: str, path: str) -> None:
    """Whatever way of writing its path there is: nothing is sent, and no nonce is used."""
    with pytest.raises(ConfigError, match=r"Not sent: Kraken's Funding API .* not known how its calls are signed"):
        twin(way, path)
    assert fake.arrivals == []
    assert twin.client._manager.peek() is None


@pytest.mark.parametrize("made", [Kraken, AsyncKraken])
def test_a_base_url_does_not_lead_into_the_funding_api(made: Any) -> None:
    """Its calls would have the path of another API."""
    with pytest.raises(ConfigError, match="Kraken's Funding API"):
        made(base_url="https://api.kraken.com/funding/v1")


@pytest.mark.parametrize("way", ["private", "query_private"])
def test_what_is_no_method_uses_no_nonce(twin: Twin, way: str) -> None:
    """It is refused before the turn."""
    with pytest.raises(ConfigError, match="not the name of a Kraken method"):
        twin(way, "a/b/c")
    assert twin.client._manager.peek() is None


# --- strategies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [CUT, HTML_502], ids=["cut", "html"])
def test_a_strategy_is_never_started_again(
    kind: str, account: FakeAccount, manager: NonceManager, lost: bytes | None
) -> None:
    """It has no id of ours, so nothing tells two of them apart; the error names what shows whether it was started."""
    with (
        ScriptedServer(lost, OK) as kraken,
        client(kind, account, kraken, manager) as twin,
        pytest.raises(OutcomeUnknown, match=r"look at GetOpenStrategies and GetClosedStrategies before you"),
    ):
        twin("private", "AddStrategy", **TWAP, expiretm="+3600")
    assert len(kraken.requests) == 1
    assert b"cl_ord_id" not in kraken.requests[0]


def test_a_strategy_that_is_only_checked_is_asked_for_again(
    kind: str, account: FakeAccount, manager: NonceManager
) -> None:
    """With validate nothing is started."""
    with ScriptedServer(CUT, OK) as kraken, client(kind, account, kraken, manager) as twin:
        assert twin("private", "AddStrategy", **TWAP, validate=True) == {}
    assert len(kraken.requests) == 2


def test_a_slip_in_a_strategy_is_refused(twin: Twin, fake: FakeKraken) -> None:
    """Kraken would ignore the name, and trade for an hour."""
    with pytest.raises(ConfigError, match="Did you mean validate"):
        twin("private", "AddStrategy", **TWAP, valdate=True)
    assert fake.arrivals == []


def test_a_strategy_is_stopped_again_by_kraken_s_id_alone(
    kind: str, account: FakeAccount, manager: NonceManager
) -> None:
    """The second time there is nothing left to stop; what another name means by then, nobody knows."""
    with ScriptedServer(CUT, OK, CUT) as kraken, client(kind, account, kraken, manager) as twin:
        assert twin("private", "CancelStrategy", strategy_id=STRATEGY) == {}
        with pytest.raises(OutcomeUnknown, match="look at GetOpenStrategies before you repeat it"):
            twin("private", "CancelStrategy", strategy_id="all")
    assert len(kraken.requests) == 3


# --- parameters and results ------------------------------------------------------------------------------------


def test_the_pairs_of_trade_volume_may_be_objects(kind: str, account: FakeAccount, manager: NonceManager) -> None:
    """Since June 2026: they go as JSON, as they were given."""
    pairs = [{"asset": "XBTUSD", "aclass": "forex"}]
    with ScriptedServer(OK) as kraken, client(kind, account, kraken, manager) as twin:
        twin("private", "TradeVolume", pair=pairs, fee_schedule=True)
    sent = json.loads(kraken.requests[0].partition(b"\r\n\r\n")[2])
    assert (sent["pair"], sent["fee_schedule"], type(sent["nonce"])) == (pairs, True, int)


def test_an_order_may_be_fill_or_kill_and_name_a_broker(kind: str, account: FakeAccount, manager: NonceManager) -> None:
    """Both since May 2026."""
    placed = answer({"descr": {"order": "buy"}, "txid": ["OU22CG-KLAF2-FWUDD7"]})
    with ScriptedServer(answer({"unixtime": 1}), placed) as kraken, client(kind, account, kraken, manager) as twin:
        twin("add_order", "XBTUSD", "buy", "1", "100", timeinforce="FOK", broker="me")
    assert b"timeinforce=FOK&broker=me" in kraken.requests[-1]


def test_one_wallet_may_be_asked_for(kind: str, account: FakeAccount, manager: NonceManager) -> None:
    """By the account_id that ListWalletAccounts names; without one, none is sent."""
    empty = answer({"ledger": {}, "count": 0})
    with ScriptedServer(answer([]), OK, OK, empty) as kraken, client(kind, account, kraken, manager) as twin:
        twin("private", "ListWalletAccounts")
        twin("balances")
        twin("balances", account_id="AA12")
        assert twin.each("ledger", end=1.0, account_id="AA12") == []
    assert [b"account_id=AA12" in request for request in kraken.requests] == [False, False, True, True]


def test_kraken_s_announcements_are_told(kind: str, account: FakeAccount, manager: NonceManager) -> None:
    """Kraken's page says that both lists may be absent."""
    told = answer({"status": "online", "upcoming_maintenance": [{"name": "m"}], "emergency": None})
    plain = answer({"status": "online", "timestamp": "2023-07-06T18:52:00Z"})
    with ScriptedServer(told, plain) as kraken, client(kind, account, kraken, manager) as twin:
        assert twin("system_advisories") == ("online", [{"name": "m"}], [])
        assert twin("system_advisories") == ("online", [], [])


# --- methods that are not known --------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_said")
def test_a_method_that_is_not_known_is_said_once(twin: Twin, caplog: pytest.LogCaptureFixture) -> None:
    """Its first call says what is done with it; known ones, and public ones that are called with a key, say nothing."""
    for method in ("Balance", "NewThing", "NewThing", "NewThing?id=1", "Other/Thing", "Time"):
        twin("query_private", method)
    said = [text for text in caplog.messages if "is not known" in text]
    assert [text.split(" is not known")[0] for text in said] == [
        "Kraken's method NewThing",
        "Kraken's method Other/Thing",
    ]
    assert "it is never repeated" in said[0]


@pytest.mark.usefixtures("nothing_said")
def test_random_names_do_not_fill_the_log_or_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    """After fifty it is said that there are more; a name is cut, and shown without control characters."""
    for number in range(1000):
        not_known.say_if_not_known(f"Thing\n{number}{'x' * 1000}")
    said = caplog.messages
    assert len(said) == 51
    assert "no more are named" in said[-1]
    assert max(map(len, said)) < 400
    assert not any("\n" in text for text in said)
    assert len(not_known._said) == 50
