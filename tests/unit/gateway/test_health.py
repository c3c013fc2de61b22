"""Whether an account can be used, and why not."""

from __future__ import annotations

import math

import pytest

from krakenonce.gateway.health import Health, KeyFacts, KeyTroubles, Trouble, health_of
from krakenonce.gateway.refusals import reason_of
from krakenonce.key.answers import error_from

SECRET = Trouble("invalid_signature", "Balance")


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("EAPI:Invalid nonce", "invalid_nonce"),
        ("EAPI:Invalid key", "invalid_key"),
        ("EAPI:Invalid signature", "invalid_signature"),
        ("EGeneral:Permission denied", "permission"),
        ("EAuth:Account temporary disabled", "account"),
        ("EGeneral:Temporary lockout", "lockout"),
        ("EAPI:Rate limit exceeded", "rate_limit"),
        ("EService:Throttled: 1700000000", "throttled"),
        ("EService:Unavailable", "unavailable"),
        ("EOrder:Insufficient funds", "order"),
        ("EGeneral:Invalid arguments:volume", "invalid_arguments"),
        ("EQuery:Unknown asset pair", "unknown_asset"),
        ("EWhat:Never seen", "other"),
    ],
)
def test_each_refusal_has_a_reason_of_its_own(string: str, reason: str) -> None:
    """What is wrong with the key is not among ``other``."""
    assert reason_of(error_from([string])) == reason


@pytest.mark.parametrize(
    ("keys", "health"),
    [
        ([KeyFacts()], Health("fine")),
        ([KeyFacts(troubles=[SECRET])], Health("refused", "invalid_signature")),
        ([KeyFacts(troubles=[SECRET]), KeyFacts()], Health("limited", "invalid_signature")),
        ([KeyFacts(locked_out=60.0)], Health("locked_out", "lockout", 1060.0)),
        ([KeyFacts(locked_out=60.0), KeyFacts()], Health("limited", "lockout", 1060.0)),
        ([KeyFacts(locked_out=60.0), KeyFacts(locked_out=30.0)], Health("locked_out", "lockout", 1030.0)),
        ([KeyFacts(locked_out=60.0), KeyFacts(troubles=[SECRET])], Health("locked_out", "lockout", 1060.0)),
        ([KeyFacts(locked_out=60.0, troubles=[SECRET])], Health("refused", "invalid_signature")),
        ([KeyFacts(out=[math.inf]), KeyFacts()], Health("limited", "another_account")),
        ([KeyFacts(out=[3.0]), KeyFacts()], Health("fine")),
        (
            [KeyFacts(troubles=[Trouble("permission", "AddOrder")])],
            Health("refused", "permission", None, "AddOrder"),
        ),
        (
            [KeyFacts(troubles=[Trouble("permission", "AddOrder", is_partial=True)])],
            Health("limited", "permission", None, "AddOrder"),
        ),
    ],
)
def test_an_account_is_as_fine_as_its_keys(keys: list[KeyFacts], health: Health) -> None:
    """It is fine only if all its keys are; it is refused or locked out only if none can be used."""
    assert health_of(keys, 1000.0) == health


@pytest.mark.parametrize("reason", ["invalid_key", "invalid_signature", "invalid_nonce"])
def test_a_refused_key_is_fine_again_once_kraken_has_accepted_it(reason: str) -> None:
    """In any call, also in one that is refused for another reason."""
    troubles = KeyTroubles()
    troubles.refused("Balance", reason)
    assert [each.reason for each in troubles.now.values()] == [reason]
    troubles.refused("Balance", "unavailable")
    assert troubles.now
    troubles.refused("AddOrder", "order")
    assert not troubles.now


def test_a_missing_permission_is_over_once_the_same_method_is_accepted() -> None:
    """Another method shows only that the key has some permissions."""
    troubles = KeyTroubles()
    troubles.refused("AddOrder", "permission")
    troubles.accepted("Balance")
    assert list(troubles.now.values()) == [Trouble("permission", "AddOrder", is_partial=True)]
    troubles.refused("Withdraw", "permission")
    assert len(troubles.now) == 2
    troubles.accepted("AddOrder")
    assert [each.method for each in troubles.now.values()] == ["Withdraw"]


def test_the_reason_is_said_in_words() -> None:
    """As a person would."""
    assert Health("refused", "invalid_signature").words == "wrong secret"
    assert Health("limited", "permission", None, "AddOrder").words == "no permission: AddOrder"
