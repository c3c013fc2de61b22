from __future__ import annotations

import json
import pickle

import pytest

from krakenonce import errors
from krakenonce.errors import InvalidNonce, KrakenAPIError, OutcomeUnknown
from krakenonce.key.answers import error_from, result_of
from krakenonce.kraken.request import Answer, Request, read_answer

# Kraken's strings, with the class that each has, and whether the call may have been executed.
STRINGS = """
EAPI:Invalid nonce | InvalidNonce | no
EAPI:Invalid key | InvalidKey | no
EAPI:Invalid signature | InvalidSignature | no
EAPI:Rate limit exceeded | RateLimited | no
EAPI:Bad request | InvalidArguments | no
EAPI:Invalid arguments:nonce | InvalidArguments | no
EAPI:Feature disabled | InvalidArguments | no
EAPI:Invalid token | InvalidToken | no
ESession:Invalid session | InvalidToken | no
EAuth:Failed | AccountRefused | no
EAuth:Account temporary disabled | AccountRefused | no
EAuth:Account unconfirmed | AccountRefused | no
EAuth:Rate limit exceeded | RateLimited | no
EAuth:Too many requests | RateLimited | no
EGeneral:Temporary lockout | LockedOut | no
EGeneral:Permission denied | PermissionDenied | no
EAPI:Permission denied | PermissionDenied | no
EAPI:Invalid otp | PermissionDenied | no
EGeneral:Invalid arguments | InvalidArguments | no
EGeneral:Invalid timeout argument | InvalidArguments | no
EGeneral:Invalid arguments:ordertype | InvalidArguments | no
EGeneral:Invalid arguments:Index unavailable | InvalidArguments | no
EGeneral:Internal error | ServiceUnavailable | unknown
EDatabase:Internal error | ServiceUnavailable | unknown
EGeneral:Internal error:17 | ServiceUnavailable | unknown
EGeneral:Unknown method | UnknownMethod | no
EGeneral:Not simulated:AddStrategy | NotSimulated | no
EGeneral:Unknown Method | UnknownMethod | no
EGeneral:Too many requests | RateLimited | no
EQuery:Unknown asset pair | UnknownAsset | no
EQuery:Unknown asset | UnknownAsset | no
EQuery:Invalid asset pair | UnknownAsset | no
EQuery:Unknown trade | InvalidArguments | no
EQuery:Unknown ledger | InvalidArguments | no
EQuery:Invalid start | InvalidArguments | no
EService:Unavailable | ServiceUnavailable | unknown
EService:Busy | ServiceUnavailable | unknown
EService:Timeout | ServiceUnavailable | unknown
EService:Throttled: 1688669448 | Throttled | no
EService: Throttled: [1688669448] | Throttled | no
EService:Market in cancel_only mode | MarketRestricted | no
EService:Market in post_only mode | MarketRestricted | no
EService:Deadline elapsed | DeadlineElapsed | no
EOrder:Rate limit exceeded | RateLimited | no
EOrder:Domain rate limit exceeded | RateLimited | no
EOrder:Orders limit exceeded | OrderLimitExceeded | no
EOrder:Scheduled orders limit exceeded | OrderLimitExceeded | no
EOrder:Positions limit exceeded | OrderLimitExceeded | no
EOrder:Insufficient funds | InsufficientFunds | no
EOrder:Insufficient initial margin | InsufficientFunds | no
EOrder:Insufficient something new | InsufficientFunds | no
EOrder:Insufficient margin | InsufficientFunds | no
EOrder:Margin allowance exceeded | InsufficientFunds | no
EOrder:Margin level too low | InsufficientFunds | no
EOrder:Margin position size exceeded | InsufficientFunds | no
EOrder:Cannot open position | PositionRefused | no
EOrder:Cannot open opposing position | PositionRefused | no
EOrder:Order minimum not met | InvalidOrder | no
EOrder:Cost minimum not met | InvalidOrder | no
EOrder:Tick size check failed | InvalidOrder | no
EOrder:Invalid price | InvalidOrder | no
EOrder:Reduce only:Non-PC | PositionRefused | no
EOrder:Reduce only:No position exists | PositionRefused | no
EOrder:Reduce only:Position is closed | PositionRefused | no
EOrder:Unknown position | PositionRefused | no
EOrder:Post only order | PostOnlyRefused | no
EOrder:Post only order would fill | PostOnlyRefused | no
EOrder:No amendable parameters specified | InvalidArguments | no
EOrder:Something new limit exceeded | OrderLimitExceeded | no
EOrder:Unknown order | UnknownOrder | no
EOrder:Invalid order | UnknownOrder | no
EOrder:Duplicate cl_ord_id | DuplicateOrder | unknown
ETrade:Invalid request | InvalidArguments | no
ETrade:User Locked | AccountRefused | no
EAuth:Account something new | AccountRefused | no
ETrade:Locked | AccountRefused | no
EAccount:Invalid permissions | AccountRefused | no
EAccount:Invalid permissions:USDT trading restricted for AT. | AccountRefused | no
EBM:limit exceeded:CAL | OrderLimitExceeded | no
EFunding:Rate limit exceeded | RateLimited | no
EFunding:Invalid something new | FundingRefused | no
EFunding:Unknown something new | FundingRefused | no
EFunding:Max fee exceeded | FundingRefused | no
EFunding:Unknown withdraw key | FundingRefused | no
EFunding:Invalid amount | FundingRefused | no
EFunding:Unknown reference id | FundingRefused | no
EFunding:Invalid reference id | FundingRefused | no
EFunding:Too many addresses | FundingRefused | no
EFunding:Unknown asset | UnknownAsset | no
EFunding:No funding method | FundingRefused | no
EEarnings:Busy | EarnRefused | unknown
EEarnings:Busy:Another (de)allocation is in progress | EarnRefused | unknown
EEarnings:Below min:(De)allocation is below the minimum | EarnRefused | unknown
EEarnings:Above max:(De)allocation is above the maximum | EarnRefused | unknown
EEarnings:Insufficient funds:Nothing there | EarnRefused | unknown
EEarnings:Something new | EarnRefused | unknown
EEarnings:Permission denied:No Earn | EarnRefused | unknown
EOrder:Something new | UnknownKrakenError | unknown
EFunding:Something new | UnknownKrakenError | unknown
ETrade:Something new | UnknownKrakenError | unknown
EService:Something new | UnknownKrakenError | unknown
Invalid nonce | UnknownKrakenError | unknown
EAPI:Invalid noncesense | UnknownKrakenError | unknown
"""
TABLE = [tuple(cell.strip() for cell in line.rsplit("|", 2)) for line in STRINGS.strip().splitlines()]


@pytest.mark.parametrize(("string", "name", "verdict"), TABLE)
def test_every_string_of_krakens_has_its_class(string: str, name: str, verdict: str) -> None:
    """Each documented or reported string has one class, and one that nobody knows has its own."""
    error = error_from([string])
    assert (type(error).__name__, error.may_have_executed) == (name, verdict)
    assert error.errors == (string,)
    assert string in str(error)


def test_every_class_for_krakens_strings_is_in_the_table() -> None:
    """No class without a string, but the abstract ones and those that we decide ourselves."""
    abstract = {errors.OrderRefused, errors.PoisonedKey}

    def below(kind: type[KrakenAPIError]) -> set[type[KrakenAPIError]]:
        return {kind, *(each for child in kind.__subclasses__() for each in below(child))}

    named = {getattr(errors, name) for _, name, _ in TABLE}
    assert below(KrakenAPIError) - {KrakenAPIError} == named | abstract


@pytest.mark.parametrize(
    ("string", "advice"),
    [
        ("EAPI:Invalid nonce", "its own key"),
        ("EAPI:Invalid key", "Do not repeat"),
        ("EAPI:Invalid signature", "check the secret"),
        ("EAPI:Invalid signature", "signed other bytes than it sent"),
        ("EGeneral:Permission denied", "settings"),
        ("EGeneral:Permission denied", "second factor (otp)"),
        ("EAccount:Invalid permissions:USDT trading restricted for AT.", "region"),
        ("EOrder:Post only order", "price that rests"),
        ("EAPI:Rate limit exceeded", "wait a few seconds"),
        ("EGeneral:Temporary lockout", "15 minutes"),
        ("EGeneral:Unknown method", "spelling"),
        ("EOrder:Tick size check failed", "tick size"),
    ],
)
def test_the_message_says_what_to_do(string: str, advice: str) -> None:
    """The text of the class is part of the message, as one line."""
    told = str(error_from([string]))
    assert advice in told
    assert "\n" not in told
    assert "Attributes" not in told


@pytest.mark.parametrize("odd", ["two\nlines", "\x1b[2Jgone", "half a sign: \ud800", "\u202ebackwards", "long" * 5000])
def test_a_message_can_be_shown_anywhere(odd: str) -> None:
    """Whatever Kraken's strings hold, the message is one line of a sensible length; `errors` has them as they came."""
    error = error_from([f"EOrder:{odd}"])
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert error.errors == (f"EOrder:{odd}",)


def test_invalid_nonce_goes_first_and_unknown_strings_last() -> None:
    """Of several strings the most telling one makes the class, the least certain one the verdict."""
    assert type(error_from(["EOrder:Insufficient funds", "EAPI:Invalid nonce"])) is InvalidNonce
    error = error_from(["EOrder:Something new", "EOrder:Insufficient funds"])
    assert (type(error), error.may_have_executed) == (errors.InsufficientFunds, "unknown")


def test_one_open_outcome_does_not_change_the_next_error() -> None:
    """The verdict belongs to one error, not to its class."""
    assert error_from(["EOrder:Invalid price", "EService:Timeout"]).may_have_executed == "unknown"
    assert error_from(["EOrder:Invalid price"]).may_have_executed == "no"


@pytest.mark.parametrize("string", ["EService:Throttled: 1000", "EService: Throttled: [1000]"])
def test_throttled_says_how_long(string: str) -> None:
    """Kraken's time stamp becomes seconds from now, and never less than none."""
    for now, seconds in ((990.5, 9.5), (2000.0, 0.0), (None, None)):
        error = error_from([string], now)
        assert isinstance(error, errors.Throttled)
        assert error.retry_after == seconds


def test_an_error_survives_a_process_pool() -> None:
    """Strings, verdict, order and waiting time come along."""
    error = error_from(["EService:Throttled: 1000", "EService:Timeout"], 999.0)
    error.order = ("what", "was", "sent")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is errors.Throttled
    assert (copy.errors, copy.may_have_executed, copy.order, copy.retry_after) == (
        error.errors,
        "unknown",
        error.order,
        1.0,
    )


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


def test_a_string_without_severity_is_an_error() -> None:
    """What is not marked as a warning never passes as a result."""
    with pytest.raises(errors.UnknownKrakenError):
        result_of({"error": ["Something happened"], "result": {"a": 1}})


def test_an_error_that_is_no_list_is_an_error_all_the_same() -> None:
    """Text in its place counts as one string."""
    with pytest.raises(errors.InsufficientFunds):
        result_of({"error": "EOrder:Insufficient funds", "result": {"txid": ["O"]}})


@pytest.mark.parametrize(
    "reply",
    [
        *({"result": {"a": 1}}, {}, {"error": []}, {"error": None, "result": None}, {"error": ["WGeneral:Hm"]}),
        *({"error": "", "result": 1}, {"error": {}, "result": 1}, {"error": False, "result": 1}),
    ],
    ids=str,
)
def test_neither_error_nor_result_is_an_unknown_outcome(reply: dict[str, object]) -> None:
    """An answer that says nothing does not say that nothing happened."""
    with pytest.raises(OutcomeUnknown) as caught:
        result_of(reply)
    assert caught.value.may_have_executed == "unknown"


@pytest.mark.parametrize(
    "told", [["EAPI:Invalid key:a/whole+key"], ["a/whole+keyEAPI:Invalid key"], "a/whole+key", [{"key": "a/whole+key"}]]
)
def test_an_error_that_quotes_the_api_key_is_shown_without_it(told: object) -> None:
    """Wherever it stands, in the message and in the strings."""
    request = Request("POST", "/0/private/Balance", {"API-Key": "a/whole+key"}, b"nonce=1")
    answer = read_answer(request, "localhost", Answer(200, "application/json", json.dumps({"error": told}).encode()))
    with pytest.raises(KrakenAPIError, match=r"\(key\)") as caught:
        result_of(answer)
    assert "whole" not in f"{caught.value} {caught.value.errors}"


def test_one_order_s_error_that_quotes_the_api_key_is_shown_without_it_and_a_result_keeps_it() -> None:
    """Orders of a batch have errors of their own; GetApiKeyInfo has the key for its result."""
    request = Request("POST", "/0/private/AddOrderBatch", {"API-Key": "a/whole+key"}, b"nonce=1")
    result = {"orders": [{"error": "EOrder:a/whole+key"}, {"txid": "O"}], "api_key": "a/whole+key"}
    data = json.dumps({"error": [], "result": result}).encode()
    read = result_of(read_answer(request, "localhost", Answer(200, "application/json", data)))
    assert read == {"orders": [{"error": "EOrder:(key)"}, {"txid": "O"}], "api_key": "a/whole+key"}


def test_an_answer_that_quotes_no_key_is_as_kraken_gave_it() -> None:
    """Errors of another form than Kraken's too: whoever asked for the answer itself sees that."""
    request = Request("POST", "/0/private/Balance", {"API-Key": "a/whole+key"}, b"nonce=1")
    for told in ([], ["EGeneral:Invalid arguments", 5], "EOrder:Unknown order", {"code": 5}, None):
        data = json.dumps({"error": told}).encode()
        assert read_answer(request, "localhost", Answer(200, "application/json", data)) == {"error": told}
