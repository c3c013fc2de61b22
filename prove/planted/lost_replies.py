"""Bugs in how the gateway sends no order twice and finds out what became of it."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["LOST_REPLIES"]

_FENCE = "src/krakenonce/gateway/fence.py"
_FINDING_OUT = "src/krakenonce/gateway/finding_out.py"
_CAMPAIGN = "tests/campaigns/test_lost_replies.py::test_no_lost_reply_costs_an_order"
_TESTS = "tests/integration/gateway/test_finding_out.py"

LOST_REPLIES = (
    Planted(
        "the record of what was sent finds nothing",
        9,
        "src/krakenonce/gateway/sent_record.py",
        was="                    return entry\n",
        becomes="                    continue\n",
        test=_CAMPAIGN,
    ),
    Planted(
        "an order without a deadline counts as not placed",
        9,
        _FINDING_OUT,
        was="is_over = deadline is not None and before > deadline + MARGIN.total_seconds()",
        becomes="is_over = deadline is None or before > deadline + MARGIN.total_seconds()",
        test=_CAMPAIGN,
    ),
    Planted(
        "an answer that was not received counts as received",
        9,
        _FENCE,
        was="Status.DELIVERED if received else Status.KEPT",
        becomes="Status.DELIVERED",
        test="tests/integration/gateway/test_fence.py::test_an_answer_that_nobody_received_is_kept_for_the_repeat",
    ),
    Planted(
        "an order is taken for another one that was answered",
        9,
        _FINDING_OUT,
        was="    return found\n",
        becomes="    return set()\n",
        test=_CAMPAIGN,
    ),
    Planted(
        "a pair whose names were not answered counts as unknown",
        9,
        "src/krakenonce/kraken/finding.py",
        was="    except UnknownAsset:",
        becomes="    except Exception:",
        test=f"{_TESTS}::test_an_order_is_not_refused_because_the_names_of_its_pair_were_not_answered",
    ),
    Planted(
        "a gateway looks on for an order that another one has found",
        9,
        _FENCE,
        was="        if sending.steady is None if entry is None else entry.status is not Status.SENT:\n",
        becomes="        if sending.steady is None and (entry is None or entry.status is not Status.SENT):\n",
        test=f"{_TESTS}::test_a_gateway_stops_looking_for_an_order_that_another_one_has_found",
    ),
)
