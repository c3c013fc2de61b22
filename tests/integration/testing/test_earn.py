from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.testing.documented import DOCUMENTED_PRIVATE
from krakenonce.testing.documented.answers import differences

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from tests.integration.testing.helpers import Caller

BITCOIN = "ESXBTFA-KEKRA-KENXBT"
BONDED = "ESMWVX6-JAPVY-23L3CV"


def test_an_allocation_moves_the_balance(payer: Caller) -> None:
    """To the asset of the strategy and back; it is pending for a second."""
    assert payer.result("Earn/Allocate", strategy_id=BITCOIN, amount="0.2") is True
    assert payer.result("Earn/AllocateStatus", strategy_id=BITCOIN) == {"pending": True}
    assert payer.result("Earn/DeallocateStatus", strategy_id=BITCOIN) == {"pending": False}
    allocations = payer.result("Earn/Allocations")
    assert list(differences(allocations, DOCUMENTED_PRIVATE["Earn/Allocations"].answer)) == []
    (there,) = allocations["items"]
    assert there["amount_allocated"]["pending"] == {"native": "0.2000000000", "converted": "12000.0000"}
    balance = payer.result("Balance")
    assert (balance["XXBT"], balance["XBT.B"]) == ("0.3000000000", "0.2000000000")
    assert payer.result("TradeBalance")["eb"] == "40000.0000"
    payer.now += 1
    assert payer.result("Earn/AllocateStatus", strategy_id=BITCOIN) == {"pending": False}
    assert payer.result("Earn/Deallocate", strategy_id=BITCOIN, amount="0.2") is True
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    assert len(payer.result("Ledgers", type="staking")["ledger"]) == 4
    assert payer.result("Earn/Allocations", hide_zero_allocations=True)["items"] == []
    assert payer.result("Earn/Allocations", converted_asset="EUR")["total_allocated"] == "0.0000"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"strategy_id": "guess"}, "EGeneral:Invalid arguments:Invalid strategy ID"),
        ({"strategy_id": BONDED}, "EEarnings:Permission denied:The user's tier is not high enough"),
        ({"amount": "0.0000001"}, "EEarnings:Below min:(De)allocation operation amount less than minimum"),
    ],
)
def test_a_wrong_allocation_is_refused(payer: Caller, params: dict[str, str], error: str) -> None:
    """At once."""
    assert payer.error("Earn/Allocate", **{"strategy_id": BITCOIN, "amount": "0.2", **params}) == error
    assert payer.result("Balance")["XXBT"] == "0.5000000000"


@pytest.mark.parametrize("kind", ["Allocate", "Deallocate"])
def test_funds_that_are_not_there_are_missed_later(payer: Caller, kind: str) -> None:
    """The call succeeds, and the status has its error. Meanwhile there is no other request for the strategy."""
    assert payer.result(f"Earn/{kind}", strategy_id=BITCOIN, amount="0.6") is True
    busy = "EEarnings:Busy:Another (de)allocation for the same strategy is in progress"
    assert payer.error("Earn/Allocate", strategy_id=BITCOIN, amount="0.1") == busy
    payer.now += 1
    missing = "EEarnings:Insufficient funds:Insufficient funds to complete the (de)allocation request"
    assert payer.error(f"Earn/{kind}Status", strategy_id=BITCOIN) == missing
    assert payer.result("Balance")["XXBT"] == "0.5000000000"
    assert payer.result("Earn/Allocate", strategy_id=BITCOIN, amount="0.1") is True


def test_an_account_without_balances_allocates_freely(fake: FakeKraken, caller: Caller) -> None:
    """As it trades freely."""
    assert caller.result("Earn/Allocate", strategy_id=BITCOIN, amount="1000") is True
    caller.now += 1
    assert caller.result("Earn/AllocateStatus", strategy_id=BITCOIN) == {"pending": False}


def test_strategies_are_chosen(payer: Caller) -> None:
    """By asset and by lock type."""
    assert [each["id"] for each in payer.result("Earn/Strategies", asset="BTC")["items"]] == [BITCOIN]
    assert [each["id"] for each in payer.result("Earn/Strategies", lock_type="bonded")["items"]] == [BONDED]
    both = payer.result("Earn/Strategies", asset="DOT", lock_type=["bonded", "instant"], ascending=True, as_json=True)
    assert len(both["items"]) == 2


def test_what_was_taken_elsewhere_is_not_deallocated(payer: Caller) -> None:
    """What is in Earn has an asset of its own, which can be transferred; no balance falls below 0."""
    payer.result("Earn/Allocate", strategy_id=BITCOIN, amount="0.2")
    payer.result("WalletTransfer", **{"asset": "XBT.B", "from": "Spot Wallet", "to": "Futures Wallet", "amount": "0.2"})
    payer.now += 1
    payer.result("Earn/Deallocate", strategy_id=BITCOIN, amount="0.1")
    payer.now += 1
    assert payer.error("Earn/DeallocateStatus", strategy_id=BITCOIN).startswith("EEarnings:Insufficient funds")
    assert payer.result("Balance")["XBT.B"] == "0.0000000000"


def test_strategies_come_in_pages(payer: Caller) -> None:
    """Of as many as the limit says; a cursor that was never given is refused."""
    every = [each["id"] for each in payer.result("Earn/Strategies")["items"]]
    first = payer.result("Earn/Strategies", limit=3)
    second = payer.result("Earn/Strategies", limit=3, cursor=first["next_cursor"])
    assert [each["id"] for page in (first, second) for each in page["items"]] == every
    assert [len(page["items"]) for page in (first, second)] == [3, 1]
    assert second["next_cursor"] is None
    assert payer.error("Earn/Strategies", cursor="guess") == "EGeneral:Invalid arguments:cursor"
