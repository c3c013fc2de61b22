from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import ConfigError
from tests.integration.testing.helpers import NOW, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken

WITHDRAWAL = {"asset": "XBT", "key": "cold", "amount": "0.2"}


@pytest.fixture
def payer(payer: Caller) -> Caller:
    """The caller who has to pay, with an address for bitcoins."""
    payer.account.holdings.add_address("cold", "BTC", "bc1-cold")
    return payer


def test_a_withdrawal_takes_from_the_balance(payer: Caller) -> None:
    """The fee is a part of it. It is in the status and in the ledger; cancelled, it gives the amount back, once."""
    info = payer.result("WithdrawInfo", **WITHDRAWAL)
    assert (info["amount"], info["fee"], info["limit"]) == ("0.1998000000", "0.0002000000", "0.4998000000")
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    refid = payer.result("Withdraw", **WITHDRAWAL)["refid"]
    assert payer.result("Balance")["XXBT"] == "0.3000000000"
    (status,) = payer.result("WithdrawStatus", asset="BTC")
    assert (status["refid"], status["status"], status["amount"], status["fee"], status["info"], status["time"]) == (
        refid,
        "Pending",
        "0.1998000000",
        "0.0002000000",
        "bc1-cold",
        int(NOW),
    )
    (entry,) = payer.result("Ledgers", type="withdrawal")["ledger"].values()
    assert (entry["refid"], entry["amount"], entry["fee"]) == (refid, "-0.1998000000", "0.0002000000")
    assert payer.error("WithdrawCancel", asset="ETH", refid=refid) == "EFunding:Unknown reference id"
    assert payer.result("WithdrawCancel", asset="XBT", refid=refid) is True
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    assert payer.error("WithdrawCancel", asset="XBT", refid=refid) == "EFunding:Unknown reference id"
    (status,) = payer.result("WithdrawStatus")
    assert (status["status"], status["status-prop"]) == ("Failure", "canceled")
    assert payer.result("WithdrawStatus", asset="ETH") == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"amount": "0.6"}, "EFunding:Invalid amount"),
        ({"amount": "0.0001"}, "EFunding:Invalid amount"),
        ({"asset": "GUESS"}, "EFunding:Unknown asset"),
        ({"key": None}, "EGeneral:Invalid arguments:key"),
        ({"key": "hot"}, "EFunding:Unknown withdraw key"),
        ({"asset": "ETH"}, "EFunding:Unknown withdraw key"),  # the key is of another asset
        ({"address": "bc1-hot"}, "EFunding:Invalid withdrawal address"),
        ({"max_fee": "0.0001"}, "EFunding:Max fee exceeded"),
    ],
)
def test_a_wrong_withdrawal_is_refused(payer: Caller, params: dict[str, str | None], error: str) -> None:
    """Nothing leaves the account then."""
    assert payer.error("Withdraw", **WITHDRAWAL | params) == error
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    assert payer.result("WithdrawStatus") == []


def test_a_withdrawal_with_the_right_address_and_fee_is_made(payer: Caller) -> None:
    """Both are only compared. What open orders have set aside cannot leave."""
    assert payer.result("Withdraw", **WITHDRAWAL, address="bc1-cold", max_fee="0.0002")["refid"]
    payer.place(type="sell", price="70000", volume="0.2")
    assert payer.error("Withdraw", **WITHDRAWAL) == "EFunding:Invalid amount"


def test_an_address_is_of_an_asset_that_is_there(payer: Caller) -> None:
    """A wrong name in a test is explained."""
    with pytest.raises(ConfigError, match="'GUESS'"):
        payer.account.holdings.add_address("cold", "GUESS", "x")


def test_addresses_and_methods_are_chosen(payer: Caller) -> None:
    """By asset, method, key, network and class; every account has an address with the key fake-key."""
    assert [each["key"] for each in payer.result("WithdrawAddresses", asset="XBT")] == ["cold", "fake-key"]
    assert [each["asset"] for each in payer.result("WithdrawAddresses", key="cold")] == ["XXBT"]
    assert [each["asset"] for each in payer.result("WithdrawAddresses", method="Ether")] == ["XETH"]
    assert payer.result("WithdrawAddresses", verified=False) == []
    (dollars,) = payer.result("WithdrawMethods", asset="ZUSD")
    assert (dollars["asset"], dollars["fee"]) == ("ZUSD", {"aclass": "currency", "asset": "ZUSD", "fee": "4.0000"})
    assert [each["asset"] for each in payer.result("WithdrawMethods", network="Bitcoin")] == ["XXBT"]
    assert len(payer.result("WithdrawMethods")) > 5
    assert payer.result("WithdrawMethods", aclass="tokenized_asset") == []
    assert payer.result("Withdraw", asset="XBT", key="fake-key", amount="0.1")["refid"]


def test_withdrawals_come_in_pages(payer: Caller) -> None:
    """With a cursor the answer is an object: it has the cursor of the next page, and null on the last one."""
    refids = []
    for _ in range(3):
        refids.append(payer.result("Withdraw", **WITHDRAWAL | {"amount": "0.01"})["refid"])
        payer.now += 10
    page = payer.result("WithdrawStatus", cursor=True, limit=2)
    assert [each["refid"] for each in page["withdrawals"]] == refids[:0:-1]
    rest = payer.result("WithdrawStatus", cursor=page["next_cursor"], limit=2)
    assert [each["refid"] for each in rest["withdrawals"]] == refids[:1]
    assert rest["next_cursor"] is None
    assert [each["refid"] for each in payer.result("WithdrawStatus", start=int(NOW) + 1, end=int(NOW) + 12)] == [
        refids[1]
    ]
    assert len(payer.result("WithdrawStatus", limit=1)) == 1
    assert payer.error("WithdrawStatus", cursor="guess") == "EGeneral:Invalid arguments:cursor"
    assert payer.result("WithdrawStatus", method="Ether") == []


def test_a_transfer_takes_from_the_balance(payer: Caller) -> None:
    """To the futures wallet, which is not here; the other direction is not Kraken Spot's."""
    params = {"asset": "XBT", "from": "Spot Wallet", "to": "Futures Wallet", "amount": "0.5"}
    assert payer.result("WalletTransfer", **params)["refid"]
    assert payer.result("Balance")["XXBT"] == "0.0000000000"
    turned = params | {"from": "Futures Wallet", "to": "Spot Wallet"}
    assert payer.error("WalletTransfer", **turned) == "EGeneral:Invalid arguments:from"


def test_deposits_have_addresses_and_never_come(payer: Caller) -> None:
    """The same address each time until a new one is asked for; five at most."""
    (method,) = payer.result("DepositMethods", asset="XBT")
    assert method["method"] == "Bitcoin"
    bitcoin = {"asset": "XBT", "method": "Bitcoin"}
    (first,) = payer.result("DepositAddresses", **bitcoin)
    assert payer.result("DepositAddresses", **bitcoin) == [first]
    second = payer.result("DepositAddresses", **bitcoin, new=True)[0]
    assert payer.result("DepositAddresses", **bitcoin) == [second, first]
    for _ in range(3):
        payer.result("DepositAddresses", **bitcoin, new=True)
    assert payer.error("DepositAddresses", **bitcoin, new=True) == "EFunding:Too many addresses"
    assert payer.result("DepositAddresses", asset="XBT", method="Bitcoin", aclass="currency")
    assert payer.error("DepositAddresses", asset="XBT", method="Ether") == "EFunding:No funding method"
    assert payer.result("DepositStatus", asset="XLM", method="Stellar XLM") == []
    assert payer.result("DepositStatus", cursor=True) == {"deposit": [], "next_cursor": None}


def test_what_an_account_is_worth(payer: Caller) -> None:
    """Ten thousand dollars and half a bitcoin at 60,000; the fees are in percent."""
    assert payer.result("TradeBalance")["eb"] == "40000.0000"
    assert payer.result("TradeBalance", asset="XBT")["eb"] == "0.6667"
    assert payer.result("TradeBalance", asset="CAD")["eb"] == "54400.0000"  # dollars are quoted in it
    volume = payer.result("TradeVolume", pair="XBTUSD")
    assert (volume["fees"]["XXBTZUSD"]["fee"], volume["fees_maker"]["XXBTZUSD"]["fee"]) == ("0.2600", "0.1600")
    pairs = [{"asset": "XBTUSD", "aclass": "forex"}]
    assert payer.result("TradeVolume", pair=pairs, as_json=True) == volume
    assert payer.result("TradeVolume")["fees"] is None
    (schedule,) = payer.result("TradeVolume", pair="BTC/USD", fee_schedule=True)["schedules"]
    assert schedule == {
        "pair": "BTC/USD",
        "class": "forex",
        "tiers": [{"maker_fee": "0.1600", "taker_fee": "0.2600", "active": True}],
    }
    assert "schedules" not in volume
    assert volume["inputs"]["domain_assets_on_platform"] == "40000.0000"
    assert payer.result("OpenPositions") == {}
    assert payer.result("OpenPositions", consolidation="market") == []


@pytest.mark.parametrize(
    ("method", "permissions"),
    [
        ("WithdrawMethods", {"query-funds", "withdraw-funds"}),
        ("WithdrawAddresses", {"query-funds", "withdraw-funds"}),
        ("DepositMethods", {"query-funds", "add-funds"}),
        ("DepositStatus", {"query-funds"}),
    ],
)
def test_funding_needs_every_permission(fake: FakeKraken, method: str, permissions: set[str]) -> None:
    """Each of those that Kraken documents, and no other."""
    params = {"asset": "XBT"}
    assert isinstance(Caller(fake, fake.add_account("all", permissions=permissions)).result(method, **params), list)
    for missing in permissions:
        caller = Caller(fake, fake.add_account("some", permissions=permissions - {missing}))
        assert caller.error(method, **params) == "EGeneral:Permission denied"
