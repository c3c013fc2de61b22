"""The headers of a call through the gateway: which of the client's go on to Kraken, and which the gateway adds.

To pass on another header of the client's, add its name to ``PASSED_ON``; one of Kraken's answer, to ``PASSED_BACK``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from krakenonce.kraken.wire import FORM

if TYPE_CHECKING:
    from collections.abc import Mapping


PASSED_ON = ("Content-Type",)  # from the client to Kraken, unchanged
# From Kraken to the client, besides the content type. Two are Cloudflare's: by cf-mitigated clients tell a challenge
# page from an answer, and CF-RAY is the id under which whoever helps them finds the request. The last two are those of
# a gateway, if what answers is one and not Kraken.
OF_GATEWAYS = ("X-Krakenonce-Executed", "X-Krakenonce-Explanation")
PASSED_BACK = ("Date", "Retry-After", "cf-mitigated", "CF-RAY", *OF_GATEWAYS)
REPEAT = "X-Krakenonce-Repeat"  # in the answer to a request that was sent before: how long ago, in seconds
_LONGEST = 300  # characters of an explanation


def passed_on(received: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that go to Kraken with a public call.

    Args:
        received: The client's headers; names in any case.
    """
    kept = {name: received[name] for name in PASSED_ON if received.get(name)}
    return {"User-Agent": "krakenonce-gateway", **kept}


def signed(headers: dict[str, str], key: str, signature: str) -> dict[str, str]:
    """Return the headers that go to Kraken with a private call. A body without a content type was read as a form.

    Args:
        headers: What :func:`passed_on` has returned.
        key: The ``API-Key``.
        signature: The ``API-Sign``.
    """
    return {"Content-Type": FORM, **headers, "API-Key": key, "API-Sign": signature}


def passed_back(answered: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of Kraken's answer that go to the client.

    Args:
        answered: The answer's headers.
    """
    return {name: answered[name] for name in PASSED_BACK if answered.get(name)}


def can_pass(received: Mapping[str, str]) -> bool:
    """Return whether an HTTP client would send those of the client's headers that are passed on unchanged."""
    return all(received.get(name, "").isascii() for name in PASSED_ON)


def answered(nonce: int, waited: float, seconds: float) -> dict[str, str]:
    """Return the headers that go to the client with Kraken's answer to a private call.

    Args:
        nonce: The nonce with which it was sent.
        waited: Seconds that it waited in the gateway.
        seconds: Seconds from sending to the end of the answer.
    """
    return {
        "X-Krakenonce-Nonce": str(nonce),
        "X-Krakenonce-Waited": f"{waited:.6f}",
        "X-Krakenonce-Upstream": f"{seconds:.6f}",
    }


def not_answered(executed: Literal["yes", "no", "unknown"], explanation: str) -> dict[str, str]:
    """Return the headers that go to the client with an answer of the gateway's own.

    Args:
        executed: Whether the call was executed.
        explanation: Why this is not Kraken's answer. Other characters than printable ASCII are replaced.
    """
    line = "".join(sign if " " <= sign <= "~" else "?" for sign in " ".join(explanation.split()))
    return dict(zip(OF_GATEWAYS, (executed, line[:_LONGEST]), strict=True))
