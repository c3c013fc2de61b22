"""What Kraken is asked about a key of several before its first call that changes something. No I/O.

The question is made in the turn of the call, because the key has that already. Where it is not answered, the call was
not sent.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from krakenonce.errors import InvalidNonce, KrakenError, PermissionDenied, RequestNotSent
from krakenonce.key.account_record import account_name
from krakenonce.kraken.repeating import poisoned
from krakenonce.kraken.request import PrivateCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.kraken.calling import Calls

logger = logging.getLogger("krakenonce")


def questions(calls: Calls, call: PrivateCall) -> Iterator[PrivateCall]:
    """Yield the calls to be made before *call*, in its turn; each must have its ``reply`` before the next is asked for.

    Raises:
        KrakenAPIError: Kraken refuses the key, or it may not make the call.
        ConfigError: It is a key of another account than the others.
    """
    place, account = call.key or 0, calls.account
    if not account.needs_info(place, call.method, call.params):
        return
    for is_last in (False, True):
        question = PrivateCall("GetApiKeyInfo", {}, only=place, is_question=True)
        question.key = place
        yield question
        if not isinstance(question.refusal, InvalidNonce):
            break
        if is_last:
            raise poisoned(question.refusal)
    with not_sent(question):
        number = account.learn(place, calls.result(question, question.reply or {}))
    _join(calls, place, account_name(number, account.names))
    if not account.is_allowed(place, call.method):
        raise PermissionDenied(f"Not sent: API key {account.names[place]} has no permission for {call.method}.")


def _join(calls: Calls, place: int, name: str) -> None:
    """Count what the key's calls add to the trading engine's counters for its account, over all programs."""
    account, api_key = calls.account, calls.api_keys[place]
    if api_key.belongs_to(name):
        logger.warning("API key %s belonged to another account when it was used last.", account.names[place])
    others = api_key.other_keys(name, account.names)
    if others and not account.has_said_others:
        account.has_said_others = True
        logger.warning(
            "Other programs use API keys of the same account at Kraken that this one does not know: %s. If that is not "
            "meant, name the same keys everywhere, and each account once.",
            ", ".join(others),
        )


@contextlib.contextmanager
def not_sent(question: PrivateCall) -> Iterator[None]:
    """Say of a question without an answer that the call was not sent."""
    try:
        yield
    except KrakenError as error:
        if error.may_have_executed == "no":
            raise
        raise RequestNotSent(
            f"Not sent: Kraken did not say which permissions API key {question.key_name} has: {error}"
        ) from error
