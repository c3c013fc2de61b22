"""What the gateway itself answers: Kraken's shape and Kraken's strings, which clients know, and why in a header."""

from __future__ import annotations

import json
from typing import NamedTuple

__all__ = ["JSON", "Reply", "refusal", "unknown"]

JSON = "application/json"


class Reply(NamedTuple):
    """An answer to a client.

    Args:
        status: The HTTP status.
        content_type: The ``Content-Type`` header.
        body: The body.
        headers: Further headers.
        reason: Why the gateway refused, in a word, for metrics; empty if it was not the gateway.
    """

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]
    reason: str = ""


def refusal(reason: str, error: str, explanation: str, status: int = 200) -> Reply:
    """Return a refusal: nothing was sent to Kraken.

    Args:
        reason: In a word, for metrics.
        error: One of Kraken's strings.
        explanation: In a line, for whoever looks into it.
        status: The HTTP status; Kraken refuses with 200.
    """
    headers = {"X-Krakenonce-Executed": "no", "X-Krakenonce-Explanation": _line(explanation)}
    return Reply(status, JSON, _envelope(error), headers, reason)


def unknown(explanation: str, headers: dict[str, str]) -> Reply:
    """Return the answer when a call was sent and not answered: 504, as Kraken's own front answers then."""
    more = {"X-Krakenonce-Executed": "unknown", "X-Krakenonce-Explanation": _line(explanation)}
    return Reply(504, JSON, _envelope("EService:Timeout"), {**headers, **more}, "no answer")


def _envelope(error: str) -> bytes:
    return json.dumps({"error": [error]}).encode()


def _line(text: str) -> str:
    """A header is one line of printable ASCII."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in " ".join(text.split()))[:300]
