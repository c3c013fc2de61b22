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
        "a gateway does not look whether another one has answered",
        9,
        _FENCE,
        was="        if sending.steady is None if entry is None else entry.status is not Status.SENT:\n",
        becomes="        if sending.steady is None and entry is None:\n",
        test="tests/integration/gateway/test_fence.py::test_a_call_of_another_process_s_gateway_is_waited_for",
    ),
)
