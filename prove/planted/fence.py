"""Bugs in the gateway's fence: what is sent twice, and which order is taken for which."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["FENCE"]

_FENCE = "src/krakenonce/gateway/fence.py"
_RECORD = "src/krakenonce/gateway/sent_record.py"
_FINDING_OUT = "src/krakenonce/gateway/finding_out.py"
_TEST = "tests/integration/gateway/test_fence.py"
_FOUND = "tests/integration/gateway/test_finding_out.py"
_RECORDED = "tests/integration/gateway/test_sent_record.py"

FENCE = (
    Planted(
        "a stop sends the orders that wait for the rate limit",
        9,
        _FENCE,
        was="        if self._is_closed:\n",
        becomes="        if self._is_closed and not self._sendings:\n",
        test=f"{_TEST}::test_a_stopping_gateway_sends_no_order_that_has_not_begun",
    ),
    Planted(
        "an order that got an equal one's answer is sent later",
        9,
        _FENCE,
        was="        if earlier.is_sent:\n",
        becomes="        if not earlier.is_sent:\n",
        test=f"{_TEST}::test_an_order_that_got_an_equal_one_s_answer_is_not_sent_later",
        hangs=45,
    ),
    Planted(
        "the answer is not kept for an equal order whose sender hung up",
        9,
        _FENCE,
        was="            if sending.joined:\n",
        becomes="            if sending.joined and not received:\n",
        test=f"{_TEST}::test_an_order_whose_sender_hung_up_while_an_equal_one_was_made_is_not_sent_later",
    ),
    Planted(
        "a repeat is refused if the key file cannot be used",
        9,
        "src/krakenonce/gateway/gateway.py",
        was='_NOT_ASKED = ("key_file", "no_account")\n',
        becomes='_NOT_ASKED = ("no_account",)\n',
        test=f"{_TEST}::test_a_repeat_that_cannot_be_looked_up_is_unknown_and_not_refused",
    ),
    Planted(
        "an order with validate in the query string may be repeated",
        9,
        "src/krakenonce/gateway/sending.py",
        was='    return not is_read or ("?" in call.path and',
        becomes='    return not is_read or ("#" in call.path and',
        test=f"{_TEST}::test_an_order_that_is_only_checked_in_the_query_string_is_not_sent_twice",
    ),
    Planted(
        "an order is looked for by the clock that was wrong when it was sent",
        9,
        "src/krakenonce/gateway/sending.py",
        was="return self.at if self.steady is None else",
        becomes="return self.at if self.steady else",
        test=f"{_FOUND}::test_a_wrong_clock_hides_no_order",
    ),
    Planted(
        "an order is given to the first of two that wait for it",
        9,
        _FINDING_OUT,
        was="    return is_equal(order, sending.call.params) and opened(",
        becomes="    return not is_equal(order, sending.call.params) and opened(",
        test=f"{_FOUND}::test_no_order_is_given_to_two_that_wait_for_one",
    ),
    Planted(
        "an order is noted when its answer is delivered",
        9,
        _FENCE,
        was="        elif txids_in(reply):",
        becomes="        elif not txids_in(reply):",
        test=f"{_FOUND}::test_another_gateway_knows_an_order_before_its_sender_has_the_answer",
    ),
    Planted(
        "a refused nonce counts as a refusal of the order",
        9,
        "src/krakenonce/gateway/sending.py",
        was="        if isinstance(done.refusal, InvalidNonce):\n            self.refusal = reply\n",
        becomes="        if isinstance(done.refusal, InvalidNonce):\n            return\n",
        test=f"{_FOUND}::test_a_refused_nonce_counts_only_if_the_next_one_is_refused_as_well",
    ),
    Planted(
        "the deadline of an equal order counts after a kill",
        9,
        _FENCE,
        was="        if len(sending.digests) == 1:\n",
        becomes="        if sending.digests:\n",
        test=f"{_FOUND}::test_the_deadline_of_an_equal_order_proves_nothing_after_a_kill",
    ),
    Planted(
        "the record is read from its first slot and not from its oldest",
        9,
        _RECORD,
        was="(*range(self._next + 1, len(slots)), *range(self._next))",
        becomes="(*range(self._next), *range(self._next + 1, len(slots)))",
        test=f"{_RECORDED}::test_of_two_entries_of_a_request_the_newer_one_counts_after_a_restart",
    ),
    Planted(
        "a record without an empty slot is read for ever",
        9,
        _RECORD,
        was="        for _ in range(SLOTS):\n",
        becomes="        while True:\n",
        test=f"{_RECORDED}::test_a_record_without_an_empty_slot_stops_no_gateway",
        hangs=10,
    ),
    Planted(
        "a note that was cut off spoils the next one",
        9,
        _RECORD,
        was='                line = b"\\n" + line\n',
        becomes="                line = bytes(line)\n",
        test=f"{_RECORDED}::test_a_note_that_was_cut_off_does_not_spoil_the_next_one",
    ),
    Planted(
        "a volume of zero is compared with the volume that was needed",
        9,
        "src/krakenonce/kraken/finding.py",
        was=" or volume == 0 ",
        becomes=" or volume == -1 ",
        test="tests/unit/kraken/test_finding.py::test_a_volume_of_zero_is_not_compared",
    ),
)
