"""What Kraken is asked about a key of several before its first call that changes something. No I/O.

The question is made in the turn of the call, because the key has that already. Where it is not answered, the call was
not sent.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from krakenonce.errors import InvalidNonce, KrakenError, PermissionDenied, RequestNotSent
from krakenonce.kraken.repeating import poisoned
from krakenonce.kraken.request import PrivateCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.kraken.calling import Calls


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
        account.learn(place, calls.result(question, question.reply or {}))
    if not account.is_allowed(place, call.method):
        raise PermissionDenied(f"Not sent: API key {account.names[place]} has no permission for {call.method}.")


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
