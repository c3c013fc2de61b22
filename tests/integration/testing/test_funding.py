from __future__ import annotations

from tests.integration.testing.helpers import NOW, Caller

WITHDRAWAL = {"asset": "XBT", "key": "cold", "amount": "0.2"}


def test_a_withdrawal_takes_from_the_balance(payer: Caller) -> None:
    """It is in the status and in the ledger; cancelled, it gives the amount back, once."""
    assert payer.result("WithdrawInfo", **WITHDRAWAL)["amount"] == "0.2000000000"
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    refid = payer.result("Withdraw", **WITHDRAWAL)["refid"]
    assert payer.result("Balance")["XXBT"] == "0.3000000000"
    (status,) = payer.result("WithdrawStatus", asset="BTC")
    assert (status["refid"], status["status"], status["amount"], status["time"]) == (
        refid,
        "Pending",
        "0.2000000000",
        int(NOW),
    )
    (entry,) = payer.result("Ledgers", type="withdrawal")["ledger"].values()
    assert (entry["refid"], entry["amount"]) == (refid, "-0.2000000000")
    assert payer.result("WithdrawCancel", refid=refid) is True
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    assert payer.error("WithdrawCancel", refid=refid) == "EFunding:Unknown reference id"
    assert payer.result("WithdrawStatus", asset="ETH") == []


def test_a_withdrawal_has_to_be_there(payer: Caller) -> None:
    """More than there is, an asset that is not there and a missing key are refused."""
    assert payer.error("Withdraw", **WITHDRAWAL | {"amount": "0.6"}) == "EFunding:Invalid amount"
    payer.place(type="sell", price="70000", volume="0.4")
    assert payer.error("Withdraw", **WITHDRAWAL) == "EFunding:Invalid amount"
    assert payer.error("Withdraw", **WITHDRAWAL | {"asset": "GUESS"}) == "EFunding:Unknown asset"
    assert payer.error("Withdraw", asset="XBT", amount="1") == "EGeneral:Invalid arguments:key"


def test_a_transfer_takes_from_the_balance(payer: Caller) -> None:
    """To the futures wallet, which is not here."""
    params = {"asset": "XBT", "from": "Spot Wallet", "to": "Futures Wallet", "amount": "0.5"}
    assert payer.result("WalletTransfer", **params)["refid"]
    assert payer.result("Balance")["XXBT"] == "0.0000000000"


def test_deposits_have_an_address_and_never_come(payer: Caller) -> None:
    """The same address each time."""
    (method,) = payer.result("DepositMethods", asset="XBT")
    assert method["method"] == "Bitcoin"
    addresses = [payer.result("DepositAddresses", asset="XBT", method="Bitcoin") for _ in range(2)]
    assert addresses[0] == addresses[1]
    assert payer.result("DepositStatus") == []
    assert payer.result("WithdrawMethods", asset="ZUSD")[0]["asset"] == "ZUSD"
    assert payer.result("WithdrawAddresses", asset="XBT")[0]["verified"] is True


def test_what_an_account_is_worth(payer: Caller) -> None:
    """Ten thousand dollars and half a bitcoin at 60,000; the fees are in percent."""
    assert payer.result("TradeBalance")["eb"] == "40000.0000"
    volume = payer.result("TradeVolume", pair="XBTUSD")
    assert (volume["fees"]["XXBTZUSD"]["fee"], volume["fees_maker"]["XXBTZUSD"]["fee"]) == ("0.2600", "0.1600")
    assert payer.result("OpenPositions") == {}
