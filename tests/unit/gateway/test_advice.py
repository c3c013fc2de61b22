"""What the status page says that a person does about a broken account."""

from __future__ import annotations

import pytest

from krakenonce.gateway import refusals
from krakenonce.gateway.advice import what_to_do
from krakenonce.gateway.health import ANOTHER_ACCOUNT, FINE, LIMITED, LOCKED_OUT, REFUSED, Health


def test_nothing_is_to_be_done_for_an_account_that_is_fine() -> None:
    """There is no sentence for it."""
    assert what_to_do("MASTER", Health(FINE)) == ""


@pytest.mark.parametrize(
    ("health", "word"),
    [
        (Health(REFUSED, refusals.INVALID_KEY), "new API key"),
        (Health(REFUSED, refusals.INVALID_SIGNATURE), "Correct the secret"),
        (Health(REFUSED, refusals.INVALID_NONCE), "`krakenonce adopt --account USER:bob`"),
        (Health(LIMITED, refusals.PERMISSION, None, "Withdraw"), "permission"),
        (Health(REFUSED, refusals.ACCOUNT), "support"),
        (Health(REFUSED, ANOTHER_ACCOUNT), "other account"),
        (Health(LOCKED_OUT, refusals.LOCKOUT, 9e9), "Wait"),
        (Health(REFUSED, "a reason that is new"), "last refusals"),
        (Health("no_credentials", "no_credentials"), "credentials"),
    ],
    ids=lambda each: each.reason if isinstance(each, Health) else "",
)
def test_each_reason_has_a_sentence_of_what_to_do(health: Health, word: str) -> None:
    """It is one, and short."""
    told = what_to_do("USER:bob", health)
    assert word in told
    assert (told[-1], len(told) < 120) == (".", True)


def test_wrong_credentials_are_said_to_be_wrong_and_why() -> None:
    """In the words of the error."""
    told = what_to_do("USER:bob", Health("no_credentials", "no_credentials"), "its secret is missing")
    assert told == "Correct its credentials, and send the gateway SIGHUP: its secret is missing."
