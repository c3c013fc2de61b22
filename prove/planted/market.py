"""Bugs in the market of the fake Kraken, on which bots are tested."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["MARKET"]

_TESTING = "src/krakenonce/testing"
_TRIGGERS = "tests/integration/testing/test_triggers.py"
_ORDERS = "tests/integration/testing/test_orders.py"
_KEYS = "tests/integration/testing/test_keys.py"
_COSTS = "tests/unit/testing/test_costs.py"
_SAME_COST = f"{_COSTS}::test_a_call_costs_the_same_among_few_and_among_many"

MARKET = (
    Planted(
        "the fake Kraken looks at all open orders for a client order id",
        "judge",
        f"{_TESTING}/placing.py",
        was="order.cl_ord_id in call.account.by_cl_ord_id:",
        becomes="order.cl_ord_id in [each.cl_ord_id for each in call.account.orders.values()]:",
        test=_SAME_COST,
    ),
    Planted(
        "the fake Kraken looks at all open orders for those of a userref",
        "judge",
        f"{_TESTING}/accounts.py",
        was="list(self.by_userref.get(userref, {}).values())",
        becomes="[each for each in self.orders.values() if str(each.userref) == userref]",
        test=_SAME_COST,
    ),
    Planted(
        "what is set aside for an order that has ended stays set aside",
        "judge",
        f"{_TESTING}/engine.py",
        was="        order.owner.put_away(order)\n        order.owner.hold(order)\n",
        becomes="        order.owner.hold(order)\n        order.owner.put_away(order)\n",
        test=f"{_COSTS}::test_what_is_set_aside_is_what_the_orders_need",
    ),
    Planted(
        "a list of keys does not know its new largest one",
        "judge",
        f"{_TESTING}/sorted_keys.py",
        was="        self._largest[place] = keys[-1]\n",
        becomes="",
        test="tests/unit/testing/test_sorted_keys.py::test_keys_are_in_order_whatever_comes_and_goes",
    ),
    Planted(
        "a take-profit order is triggered from the wrong side",
        "judge",
        f"{_TESTING}/orders.py",
        was='return (self.side == "buy") is not self.kind.startswith("take-profit")',
        becomes='return self.side == "buy"',
        test=f"{_TRIGGERS}::test_a_price_triggers_an_order",
    ),
    Planted(
        "a trailing stop follows the market in both directions",
        "judge",
        f"{_TESTING}/waiting.py",
        was="            if stop < order.stop if order.rises else stop > order.stop:\n",
        becomes="            if stop != order.stop:\n",
        test=f"{_TRIGGERS}::test_a_trailing_stop_follows_the_market",
    ),
    Planted(
        "an order that waits for its trigger is triggered after it was cancelled",
        "judge",
        f"{_TESTING}/engine.py",
        was="            book.waiting.remove(order)\n",
        becomes="            pass\n",
        test=f"{_TRIGGERS}::test_a_waiting_order_is_cancelled_expires_and_is_amended",
    ),
    Planted(
        "a conditional close is placed for the whole order at each fill",
        "judge",
        f"{_TESTING}/engine.py",
        was="order.filled - order.followed, order.filled\n",
        becomes="order.volume, order.filled\n",
        test=f"{_TRIGGERS}::test_a_conditional_close_is_placed_for_what_is_filled",
    ),
    Planted(
        "a trade triggers orders that wait for the index",
        "judge",
        f"{_TESTING}/engine.py",
        was='"index": book.reference}',
        becomes='"index": book.last}',
        test=f"{_TRIGGERS}::test_a_trade_triggers_an_order_and_the_index_does_not",
    ),
    Planted(
        "an order begins before its time",
        "judge",
        f"{_TESTING}/engine.py",
        was="        if order.starts > now:\n",
        becomes="        if order.starts < now and order.starts:\n",
        test=f"{_TRIGGERS}::test_an_order_begins_at_its_time",
    ),
    Planted(
        "the book shows all of an iceberg order",
        "judge",
        f"{_TESTING}/book.py",
        was="volume=min(level.volume, level.resting.display)",
        becomes="volume=level.volume",
        test=f"{_TRIGGERS}::test_an_iceberg_order_shows_a_part_of_it",
    ),
    Planted(
        "an amended order goes behind the others although it became smaller",
        "judge",
        f"{_TESTING}/engine.py",
        was="        keeps_place = not set(changes)",
        becomes="        keeps_place = False and not set(changes)",
        test=f"{_ORDERS}::test_an_amended_order_keeps_its_place_if_it_becomes_smaller",
    ),
    Planted(
        "an edited order keeps its post",
        "judge",
        f"{_TESTING}/changing.py",
        was='kept = [flag for flag in order.flags if flag != "post"]',
        becomes="kept = list(order.flags)",
        test=f"{_ORDERS}::test_an_edit_keeps_the_flags_but_post_and_userref_have_to_be_named",
    ),
    Planted(
        "a revoked key goes on",
        "judge",
        f"{_TESTING}/keys.py",
        was="return not self.is_revoked and (",
        becomes="return (",
        test=f"{_KEYS}::test_a_key_may_be_revoked_while_it_is_used",
    ),
    Planted(
        "an expired key goes on",
        "judge",
        f"{_TESTING}/admission.py",
        was="if key is None or not key.is_valid(request.now):",
        becomes="if key is None or not key.is_valid(0.0):",
        test=f"{_KEYS}::test_a_key_may_expire",
    ),
    Planted(
        "the keys of an account share a REST counter",
        "judge",
        f"{_TESTING}/limits.py",
        was='self._counters[key.key, ""]',
        becomes='self._counters[key.account.key, ""]',
        test=f"{_KEYS}::test_a_key_counts_its_calls_and_the_account_its_orders",
    ),
    Planted(
        "each key has requests in flight of its own",
        "judge",
        f"{_TESTING}/fake_kraken.py",
        was="return known.account.key if known else key",
        becomes="return key",
        test=f"{_KEYS}::test_the_requests_of_all_keys_of_an_account_are_in_flight_together",
    ),
    Planted(
        "GetApiKeyInfo shows the largest nonce in place of this call's",
        "judge",
        f"{_TESTING}/private.py",
        was='"nonce": str(call.nonce),',
        becomes='"nonce": str(key.last_nonce),',
        test=f"{_KEYS}::test_a_key_tells_what_it_is",
    ),
)
