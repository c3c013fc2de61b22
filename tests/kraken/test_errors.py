from __future__ import annotations

import pytest

from krakenonce.errors import InvalidNonce, KrakenAPIError, OutcomeUnknown
from krakenonce.kraken.errors import error_from, result_of


@pytest.mark.parametrize(
    ("string", "advice"),
    [
        ("EAPI:Invalid nonce", "its own key"),
        ("EAPI:Invalid key", "Do not repeat"),
        ("EAPI:Invalid signature", "check the secret"),
        ("EGeneral:Permission denied", "settings"),
        ("EAPI:Rate limit exceeded", "wait a few seconds"),
        ("EOrder:Rate limit exceeded", "wait a few seconds"),
        ("EGeneral:Temporary lockout", "15 minutes"),
        ("EGeneral:Unknown method", "spelling"),
        ("EGeneral:Unknown Method", "spelling"),
    ],
)
def test_known_errors_come_with_advice(string: str, advice: str) -> None:
    """The message has Kraken's own string and says what to do."""
    error = error_from([string])
    assert string in str(error)
    assert advice in str(error)
    assert error.errors == (string,)


def test_other_errors_are_passed_on() -> None:
    """A string without advice is shown as it is."""
    assert str(error_from(["EOrder:Insufficient funds"])) == "Kraken answered: EOrder:Insufficient funds"


def test_invalid_nonce_has_its_own_type() -> None:
    """Invalid nonce is found in any place of the list; nothing else has this type."""
    assert type(error_from(["EOrder:Insufficient funds", "EAPI:Invalid nonce"])) is InvalidNonce
    assert type(error_from(["EAPI:Invalid key"])) is KrakenAPIError


@pytest.mark.parametrize(
    ("strings", "verdict"),
    [
        (["EService:Unavailable"], "unknown"),
        (["EService:Throttled: 1688669448"], "unknown"),
        (["EOrder:Invalid price", "EService:Timeout"], "unknown"),
        (["EGeneral:Internal error"], "unknown"),
        (["EGeneral:Internal error:17"], "unknown"),
        (["EAPI:Invalid nonce"], "no"),
        (["EOrder:Insufficient funds"], "no"),
        (["EGeneral:Invalid arguments"], "no"),
    ],
)
def test_service_errors_leave_the_outcome_open(strings: list[str], verdict: str) -> None:
    """After a fault inside Kraken an order may have been placed; after a refusal it was not."""
    assert error_from(strings).may_have_executed == verdict


def test_one_open_outcome_does_not_change_the_next_error() -> None:
    """The verdict belongs to one error, not to its class."""
    assert error_from(["EService:Unavailable"]).may_have_executed == "unknown"
    assert error_from(["EAPI:Invalid key"]).may_have_executed == "no"


@pytest.mark.parametrize("result", [{}, [], False, {"ZUSD": "1"}])
def test_result_of_returns_the_result(result: object) -> None:
    """Whatever Kraken put there is the result, also when it is empty."""
    assert result_of({"error": [], "result": result}) == result


def test_warnings_are_no_failure() -> None:
    """A result with a warning is a result."""
    assert result_of({"error": ["WGeneral:Something"], "result": {"a": 1}}) == {"a": 1}


@pytest.mark.parametrize("extra", [{}, {"result": None}, {"result": {}}, {"result": {"a": 1}}])
def test_an_error_is_raised_in_all_three_envelopes(extra: dict[str, object]) -> None:
    """An error counts whether the result is absent, null, empty or there."""
    with pytest.raises(KrakenAPIError, match="Invalid price"):
        result_of({"error": ["WGeneral:Something", "EOrder:Invalid price"], **extra})


@pytest.mark.parametrize("reply", [{}, {"error": []}, {"error": None, "result": None}, {"error": ["WGeneral:Hm"]}])
def test_neither_error_nor_result_is_an_unknown_outcome(reply: dict[str, object]) -> None:
    """An answer that says nothing does not say that nothing happened."""
    with pytest.raises(OutcomeUnknown) as caught:
        result_of(reply)
    assert caught.value.may_have_executed == "unknown"
