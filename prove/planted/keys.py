"""Planted bugs in what several keys of one account change."""

from __future__ import annotations

from prove.planted.bug import Planted

_KEYS = "src/krakenonce/key/account_keys.py"
_TESTS = "tests/integration/kraken/test_several_keys.py"

KEYS = (
    Planted(
        "a turn that came after another one is tried again by the next caller",
        10,
        "src/krakenonce/key/waiting.py",
        was="                if turn.holder is None:  #",
        becomes="                if turn.holder is self:  #",
        test="tests/integration/key/test_any_lane.py::test_a_gate_that_came_after_another_turn_is_given_back_at_once",
    ),
    Planted(
        "an order that waits for its turn keeps all cancels waiting",
        10,
        "src/krakenonce/kraken/client.py",
        was="            self.calls.account.end(call.key or 0)\n",
        becomes="            pass\n",
        test="tests/integration/kraken/test_several_keys.py"
        "::test_two_calls_that_cancel_everything_do_not_wait_for_each_other",
    ),
    Planted(
        "a turn that nobody wants any more counts as the tenth",
        10,
        "src/krakenonce/key/waiting.py",
        was="            if self._turn.holder is None and self._is_not_used is not None:\n",
        becomes="            if self._turn.holder is self and self._is_not_used is not None:\n",
        test="tests/integration/key/test_urgent.py::test_a_turn_that_nobody_wants_any_more_is_not_the_tenth",
    ),
    Planted(
        "a turn whose event loop was closed lasts until the process ends",
        10,
        "src/krakenonce/key/callers.py",
        was='    return hasattr(owner, "get_loop") and bool(owner.get_loop().is_closed())\n',
        becomes="    return False\n",
        test="tests/integration/key/test_tasks.py::test_a_turn_whose_loop_was_closed_is_over",
    ),
    Planted(
        "a cancel by userref waits for the orders of one key only",
        10,
        "src/krakenonce/kraken/session.py",
        was="        for place in self.calls.account.with_orders(cancelled_in(call.method, call.params)):\n",
        becomes="        for place in self.calls.account.with_orders(cancelled_in(call.method, call.params)[:0]):\n",
        test="tests/integration/kraken/test_several_keys.py"
        "::test_a_cancel_by_userref_comes_after_all_orders_of_that_group",
    ),
    Planted(
        "a key that is locked out is still used",
        12,
        _KEYS,
        was="            if out is not None and now < out.until:\n",
        becomes="            if out is not None and now < out.until and not isinstance(out.error, LockedOut):\n",
        test=f"{_TESTS}::test_a_lockout_closes_one_key_for_all_processes_and_no_other",
        hangs=12,
    ),
    Planted(
        "an order is sent again by another key",
        9,
        "src/krakenonce/kraken/repeating.py",
        was="        self._call.only = self._call.key  # only",
        becomes="        self._call.only = (self._call.key or 0) + 2  # only",
        test=f"{_TESTS}::test_an_order_with_a_refused_nonce_is_not_sent_again_by_another_key",
    ),
    Planted(
        "an order whose answer was lost is asked for with any key",
        9,
        "src/krakenonce/kraken/sent.py",
        was="only=calls.place_of(order.key)",
        becomes="only=None",
        test=f"{_TESTS}::test_an_order_whose_answer_was_lost_is_asked_for_with_its_own_key",
    ),
    Planted(
        "an order is sent with a key that was never asked what it may do",
        13,
        _KEYS,
        was="        return len(self) > 1 and place not in self._info and kind_of(method, params) is not Kind.READ\n",
        becomes="        return False\n",
        test=f"{_TESTS}::test_keys_of_two_accounts_are_found_out_before_an_order_is_sent",
    ),
    Planted(
        "a cancel overtakes the order that it names, with another key",
        10,
        _KEYS,
        was="        if own:\n",
        becomes="        if own and not own:\n",
        test=f"{_TESTS}::test_a_call_that_names_an_order_under_way_comes_after_it_with_its_key",
    ),
    Planted(
        "CancelAll does not wait for orders that other keys are sending",
        10,
        _KEYS,
        was="        sending = self._sending.copy() if names else {}\n",
        becomes="        sending = {} if EVERY in names else self._sending.copy()\n",
        test=f"{_TESTS}::test_cancel_all_comes_after_the_orders_that_this_process_is_sending",
        hangs=12,
    ),
    Planted(
        "as many keys as ever are used after Throttled",
        13,
        _KEYS,
        was="        return usable[: self._at_most] if self._now() < self._fewer_until else usable\n",
        becomes="        return usable\n",
        test=f"{_TESTS}::test_after_throttled_fewer_keys_are_used_at_once_and_that_is_said",
    ),
    Planted(
        "the error of an account says why one of its keys cannot be used, and not why the others",
        13,
        _KEYS,
        was="for place, out in outs.items())\n        error = type(out.error)",
        becomes="for place, out in list(outs.items())[:1])\n        error = type(out.error)",
        test=f"{_TESTS}::test_when_no_key_can_be_used_the_error_names_the_reason_of_each",
    ),
    Planted(
        "a call that its key may not make is not made with another",
        13,
        _KEYS,
        was="InvalidKey | InvalidSignature | PermissionDenied | PoisonedKey) else None",
        becomes="InvalidKey | InvalidSignature | PoisonedKey) else None",
        test=f"{_TESTS}::test_a_call_goes_to_a_key_that_may_make_it",
    ),
)
