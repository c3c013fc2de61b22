"""The campaign of lost replies, for a moment; and that it notices what a broken gateway does to orders."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.gateway.local_keys import LocalKey
from krakenonce.testing import FakeKraken
from krakenonce.testing.markets import find_pair
from krakenonce.testing.orders import Order
from prove.campaign import Broken, Trial
from prove.lost_replies import run
from prove.lost_replies.bots import end_in
from prove.lost_replies.exchange import Message
from prove.lost_replies.jobs import End, Job
from prove.lost_replies.judge import wrong_in
from tests.campaigns.broken_gateways import BREAKS

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1
PLACED, REFUSED, UNKNOWN = End("placed", ("A",)), End("refused"), End("unknown")


def test_no_lost_reply_costs_an_order(tmp_path: Path) -> None:
    """Orders are repeated, gateways are killed, and no bot is told what is not true."""
    figures = run(Trial(tmp_path, SEED, 2.0))
    assert figures["orders"] >= 100
    assert min(figures.values()) > 0


@pytest.mark.timeout(300)  # a quarter of a minute alone; while other servers are tested it may be six times as long
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("the record finds nothing", "placed twice|was not placed, and it was"),
        ("whose orders are others is not known", "the same txid for two orders|the bots know only"),
        ("an order without a deadline is over", "was not placed, and it was"),
    ],
)
def test_broken_gateways_are_found(tmp_path: Path, name: str, complaint: str) -> None:
    """With the story of each order, from the bot to Kraken."""
    assert name in BREAKS
    with pytest.raises(Broken, match=complaint) as caught:
        run(Trial(tmp_path, SEED, 2.0), ("-m", "tests.campaigns.broken_gateways", name))
    for words in ("bot: sends nonce=", "proxy: gateway ", "Kraken: gets AddOrder", " is killed"):
        assert words in str(caught.value)


@pytest.fixture
def job() -> Job:
    """Two equal orders, without a name."""
    account = FakeKraken().add_account("a")
    local = LocalKey("bot", "USER:a", frozenset(("trade",)), False, 0, "key", "c2VjcmV0")
    chance = random.Random(1)
    made = Job(7, local, account, chance)
    made.times = 2
    made.fields = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100"}
    return made


def order(job: Job, txid: str, **other: Any) -> Order:
    """An order as the job wants it, but for what is said."""
    wanted = {"volume": Decimal("0.01"), "price": Decimal(100), "owner": job.account, **other}
    return Order(pair=find_pair("XBTUSD"), side="buy", kind="limit", opened=0.0, txid=txid, **wanted)


@pytest.mark.parametrize(
    ("ends", "placed", "wrong"),
    [
        ([PLACED, UNKNOWN], "A", None),
        ([PLACED, UNKNOWN], "AB", None),
        ([REFUSED, UNKNOWN], "A", None),
        ([REFUSED, REFUSED], "", None),
        ([UNKNOWN, UNKNOWN], "ABC", "an order was placed twice"),
        ([PLACED, PLACED], "AB", "the same txid for two"),
        ([PLACED, UNKNOWN], "B", "not of its order"),
        ([PLACED, REFUSED], "AB", "was not placed, and it was"),
        ([End("placed"), UNKNOWN], "A", "no txid"),
        ([End("placed", ("A", "B")), UNKNOWN], "AB", "or two"),
    ],
)
def test_the_judge_compares_what_bots_know_with_what_kraken_has(
    job: Job, ends: list[End], placed: str, wrong: str | None
) -> None:
    """Of equal orders it counts: nothing tells them apart."""
    job.ends = ends
    found = wrong_in(job, [order(job, txid) for txid in placed])
    assert found is None if wrong is None else wrong in (found or "")


@pytest.mark.parametrize("other", [{"price": Decimal(101)}, {"userref": 3}, {"owner": FakeKraken().add_account("b")}])
def test_the_judge_compares_all_that_was_wanted(job: Job, other: dict[str, Any]) -> None:
    """An order with another price, another userref, or of another account."""
    job.ends = [PLACED, UNKNOWN]
    assert wrong_in(job, [order(job, "A", **other)]) == "an order is not as it was wanted"


@pytest.mark.parametrize(
    ("body", "end"),
    [
        (b'{"error": [], "result": {"txid": ["A"]}}', PLACED),
        (b'{"error": ["EAPI:Invalid nonce"]}', End("refused", words="['EAPI:Invalid nonce'] ")),
        (b"AddOrder was sent, but no answer came", None),
        (b'{"error": []}', None),
        (b"<html>", None),
    ],
)
def test_bots_take_any_error_in_kraken_s_form_for_a_refusal(body: bytes, end: End | None) -> None:
    """As those do that send the order anew after it."""
    assert end_in(Message("HTTP/1.1 200 OK", {}, body)) == end
