"""What the gateway itself answers, with the reason in a header.

A refusal has Kraken's form and error strings, which clients know. An unknown outcome has not: whatever error it named,
clients would take it for a refusal.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.gateway.headers import not_answered
from krakenonce.kraken.wire import JSON

if TYPE_CHECKING:
    from collections.abc import Callable


TEXT = "text/plain; charset=utf-8"
UNKNOWN_OUTCOME = "unknown_outcome"  # the reason of a reply to a call that was sent and got no answer


class Reply(NamedTuple):
    """An answer to a client.

    Args:
        status: The HTTP status.
        content_type: The ``Content-Type`` header.
        body: The body.
        headers: Further headers.
        reason: Why Kraken has not answered, in a word, for metrics. Empty if it has.
        received: Called once the reply was written (True), or could not be (False).
    """

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]
    reason: str = ""
    received: Callable[[bool], None] | None = None


class Refused(Exception):
    """The gateway refuses a call; its arguments are those of :func:`not_sent`."""


def kraken_json(**answer: object) -> bytes:
    """Return the body of an answer, with Kraken's list ``error`` and perhaps its ``result``."""
    return json.dumps(answer).encode()


def not_sent(reason: str, error: str, explanation: str, status: int = 200) -> Reply:
    """Return the answer to a call that was not sent to Kraken.

    Args:
        reason: In a word, for metrics.
        error: One of Kraken's error strings.
        explanation: In a line, for a person.
        status: The HTTP status; Kraken refuses with 200.
    """
    return Reply(status, JSON, kraken_json(error=[error]), not_answered("no", explanation), reason)


def unknown(why: object, headers: dict[str, str] | None = None) -> Reply:
    """Return the answer to a call that was sent and whose outcome is not known: 504, as of Kraken's own front end.

    Args:
        why: What has happened, in a sentence or two.
        headers: Further headers.
    """
    explanation = f"{why} The gateway does not repeat it."
    body = explanation.encode(errors="replace")
    return Reply(504, TEXT, body, {**(headers or {}), **not_answered("unknown", explanation)}, UNKNOWN_OUTCOME)
