"""The page of errors: every string of Kraken's that is known, its class, and what is done about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from krakenonce import errors
from krakenonce.key.strings import PATTERNS, STRINGS, kind_of
from krakenonce.kraken import orders, queries
from krakenonce.kraken.repeating import PAUSES, REFUSALS
from tests.integration.kraken.simulation import World
from tests.unit.kraken.test_calling import LIMIT, say

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"

# What is done after each class -> how often a read, a cancel by txid and an order are sent if Kraken always says so.
DONE = {
    "raised": (1, 1, 1),
    "waited for": (1 + REFUSALS,) * 3,
    "a read and a cancel by txid: twice more": (1 + len(PAUSES), 1 + len(PAUSES), 1),
    "once more with a new nonce, an order only if Kraken does not have it": (2, 2, 2),
    "nothing is sent with this key for 15 minutes": (1, 1, 1),
}
OTHERS = {
    errors.RateLimited: "waited for",
    errors.Throttled: "waited for",
    errors.ServiceUnavailable: "a read and a cancel by txid: twice more",
    errors.InvalidNonce: "once more with a new nonce, an order only if Kraken does not have it",
    errors.LockedOut: "nothing is sent with this key for 15 minutes",
}
KINDS = [*STRINGS, errors.UnknownKrakenError]


def row(texts: str, kind: type[errors.KrakenAPIError]) -> str:
    """Return the line of the page for strings of one class."""
    executed = kind.may_have_executed
    return f"| {texts} | `{kind.__name__}` | {executed} | {OTHERS.get(kind, 'raised')} |"


def test_the_page_lists_every_string_that_is_known() -> None:
    """Each with its class, whether it may have been executed, and what is done; no other is there."""
    expected = [row(", ".join(f"`{text}`" for text in texts), kind) for kind, texts in STRINGS.items()]
    expected += [row(f"`{pattern}`", kind) for pattern, kind in PATTERNS]
    expected.append(row("any other", errors.UnknownKrakenError))
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| `E", "| any other"))]
    assert shown == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_page_says_is_done(kind: type[errors.KrakenAPIError]) -> None:
    """Kraken says the same again and again to a read, a cancel by txid and an order: so often is each one sent."""
    string = STRINGS[kind][0] if kind in STRINGS else "EOrder:Something new"
    sent = []
    for method in ("Balance", "CancelOrder", "AddOrder"):
        world = World(max_wait=1000)
        say(world, method, *[string] * 9)
        steps = {
            "Balance": queries.balances(world.calls),
            "CancelOrder": orders.cancel_order(world.calls, "OQCLML-BW3P3-BUCMWZ"),
            "AddOrder": world.calls.private("AddOrder", LIMIT),
        }[method]
        with pytest.raises(kind):
            world.run(steps)
        sent.append(world.sent.count(method))
    assert tuple(sent) == DONE[OTHERS.get(kind, "raised")]


def test_a_pattern_ends_where_the_details_begin() -> None:
    """What comes after a second colon is a detail, and says nothing of what was refused."""
    assert kind_of("EOrder:Something new:Rate limit exceeded") is errors.UnknownKrakenError
    assert kind_of("EOrder:Rate limit exceeded:Something new") is errors.RateLimited
