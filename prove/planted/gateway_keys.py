"""Planted bugs in what several keys of one account change at the gateway."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["GATEWAY_KEYS"]

_ACCOUNT = "src/krakenonce/gateway/kraken_account.py"
_FENCE = "src/krakenonce/gateway/fence.py"
_TESTS = "tests/integration/gateway/test_several_keys.py"

GATEWAY_KEYS = (
    Planted(
        "an order whose answer was lost is looked for with another key",
        9,
        _FENCE,
        was="        sending.key, sending.at, sending.steady = key, key.time.now(), key.time.steady()\n",
        becomes="        sending.at, sending.steady = key.time.now(), key.time.steady()\n",
        test=f"{_TESTS}::test_an_order_whose_answer_was_lost_is_looked_for_with_its_own_key",
        hangs=40,
    ),
    Planted(
        "another gateway looks for an order with the account's first key",
        9,
        _FENCE,
        was="        return keys[0] if found is None else marks[found.digest]\n",
        becomes="        return keys[0]\n",
        test=f"{_TESTS}::test_another_gateway_looks_for_an_order_with_the_key_that_sent_it",
    ),
    Planted(
        "a key whose order was refused counts as the one that sent it",
        9,
        _FENCE,
        was="*sending.joined, *sending.marks], Status.NOT_SENT)",
        becomes="*sending.joined], Status.NOT_SENT)",
        test=f"{_TESTS}::test_another_gateway_looks_for_an_order_with_the_key_that_sent_it",
    ),
    Planted(
        "an order is a repeat because the same key has sent an equal one",
        9,
        "src/krakenonce/gateway/sent_record.py",
        was="            found = self._find(file, digests, counts)\n",
        becomes="            found = self._find(file, [*digests, *marks], counts)\n",
        test=f"{_TESTS}::test_an_order_with_the_same_cl_ord_id_may_be_placed_again_with_the_same_key",
    ),
    Planted(
        "the gateway sends an order with a refused nonce again with another key",
        9,
        _ACCOUNT,
        was="        if changes_something(call) and kind_of(",
        becomes="        if not changes_something(call) and kind_of(",
        test=f"{_TESTS}::test_an_order_with_a_refused_nonce_is_not_sent_again_by_another_key",
    ),
    Planted(
        "the gateway does not pass over a key that Kraken has refused",
        13,
        _FENCE,
        was="                turn.pass_over(done.refusal)\n",
        becomes="                turn.pass_over(None)\n",
        test=f"{_TESTS}::test_a_key_that_kraken_refuses_for_an_order_is_passed_over_in_the_same_request",
    ),
    Planted(
        "an order that has an id is made with no other key than the one that was refused",
        13,
        _ACCOUNT,
        was="        self.known.end(making.key)  # what",
        becomes="        # what",
        test=f"{_TESTS}::test_another_gateway_looks_for_an_order_with_the_key_that_sent_it",
    ),
    Planted(
        "full REST counters keep a cancel from being made",
        12,
        "src/krakenonce/key/account_keys.py",
        was="isinstance(out.error, RateLimited) and not is_in_it:\n",
        becomes="isinstance(out.error, RateLimited) and False:\n",
        test="tests/unit/key/test_account_keys.py::test_a_full_rest_counter_keeps_no_call_back_that_is_not_in_it",
    ),
    Planted(
        "the calls of one export are made with any key",
        13,
        _ACCOUNT,
        was="        return left[:1] if making.is_of_export else left\n",
        becomes="        return left\n",
        test=f"{_TESTS}::test_the_calls_of_one_export_are_made_with_the_first_key_that_may",
    ),
    Planted(
        "CancelAll of the gateway does not wait for orders that other keys are sending",
        10,
        _ACCOUNT,
        was="partial(self._orders_to_end, cancelled_in(call.method, call.params))",
        becomes="None",
        test=f"{_TESTS}::test_cancel_all_comes_after_the_orders_that_are_being_sent",
    ),
    Planted(
        "the gateway's calls with several keys are made one at a time",
        10,
        "src/krakenonce/gateway/waiting.py",
        was="        lanes = [self._lanes[key] for key in keys]\n",
        becomes="        lanes = [self._lanes[key] for key in keys[:1]]\n",
        test=f"{_TESTS}::test_sixty_stock_clients_with_one_local_key_use_all_keys_at_once[1]",
    ),
    Planted(
        "a call has the turn of one key and is made with another",
        10,
        "src/krakenonce/key/any_lane.py",
        was="        return won\n",
        becomes="        return 0\n",
        test=f"{_TESTS}::test_sixty_stock_clients_with_one_local_key_use_all_keys_at_once[1]",
        hangs=40,
    ),
)
