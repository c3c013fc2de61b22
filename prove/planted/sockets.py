"""Bugs in the fake Kraken's WebSockets, which would let a wrong bot pass its tests."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["SOCKETS"]

_FEED = "src/krakenonce/testing/feed.py"
_SESSION = "src/krakenonce/testing/session.py"
_SOCKETS = "tests/integration/testing/test_sockets.py"
_MARKET = "tests/integration/testing/test_socket_market.py"
_ORDERS = "tests/integration/testing/test_socket_orders.py"
_EVENTS = "tests/integration/testing/test_socket_events.py"
_TOKENS = "tests/integration/testing/test_socket_tokens.py"

SOCKETS = (
    Planted(
        "an old WebSocket token is accepted",
        "judge",
        "src/krakenonce/testing/tokens.py",
        was="now - issued <= LIFETIME)",
        becomes="now - issued <= 2 * LIFETIME)",
        test=f"{_TOKENS}::test_a_token_is_for_one_account_and_for_15_minutes",
    ),
    Planted(
        "a WebSocket token in use is accepted on every connection",
        "judge",
        _SESSION,
        was="is_in_use=token in self._tokens.values())",
        becomes="is_in_use=True)",
        test=f"{_TOKENS}::test_a_token_in_use_outlives_its_time",
    ),
    Planted(
        "an order over a WebSocket needs no permission",
        "judge",
        "src/krakenonce/testing/streams.py",
        was="        self._admission.check_permitted(key, method)\n",
        becomes="",
        test=f"{_ORDERS}::test_orders_need_the_permission_and_the_mode_of_rest",
    ),
    Planted(
        "an order over a WebSocket is not compared with what Kraken documents",
        "judge",
        "src/krakenonce/testing/streams.py",
        was="        check(DOCUMENTED_PRIVATE, method, params)\n",
        becomes="",
        test=f"{_ORDERS}::test_a_wrong_order_is_refused",
    ),
    Planted(
        "a token outlives its key",
        "judge",
        "src/krakenonce/testing/tokens.py",
        was="            if key.is_valid(now) and ",
        becomes="            if ",
        test="tests/integration/testing/test_socket_tokens.py::test_a_token_ends_with_its_key",
    ),
    Planted(
        "a client is told of the orders of others",
        "judge",
        _SESSION,
        was=" and feed.account is event.order.owner:",
        becomes=":",
        test=f"{_EVENTS}::test_a_snapshot_has_open_orders_and_trades",
    ),
    Planted(
        "a relative price over a WebSocket is taken for a price",
        "judge",
        "src/krakenonce/testing/socket_trading.py",
        was='    if kind in (None, "static"):\n',
        becomes="    if kind is not True:\n",
        test=f"{_ORDERS}::test_relative_prices_have_signs_in_rest",
    ),
    Planted(
        "a text is accepted where Kraken wants a number",
        "judge",
        "src/krakenonce/testing/socket_trading.py",
        was="not isinstance(value, int | Decimal)):\n            raise Refused",
        becomes="not isinstance(value, int | Decimal | str)):\n            raise Refused",
        test=f"{_ORDERS}::test_a_wrong_order_is_refused",
    ),
    Planted(
        "a price level that is gone stays in the client's book",
        "judge",
        _FEED,
        was="            changed[side] |= dict.fromkeys(gone, Decimal(0).quantize(LOT))\n",
        becomes="",
        test=f"{_MARKET}::test_a_book_can_be_kept_and_checked",
    ),
    Planted(
        "the checksum leaves the quantities out",
        "judge",
        _FEED,
        was="for level in best for number in level)",
        becomes="for level in best for number in level[:1])",
        test=f"{_MARKET}::test_a_book_can_be_kept_and_checked",
    ),
    Planted(
        "zeros at the end of a number are lost",
        "judge",
        "src/krakenonce/testing/message.py",
        was='            return format(value, "f")\n',
        becomes="            return json.dumps(float(value))\n",
        test=f"{_MARKET}::test_numbers_have_all_their_digits",
    ),
    Planted(
        "any number of messages wait for a client that does not read",
        "judge",
        "src/krakenonce/testing/sockets.py",
        was="_MOST_WAITING = 1000 ",
        becomes="_MOST_WAITING = 10**9 ",
        test=f"{_SOCKETS}::test_a_client_that_does_not_read_is_cut",
    ),
    Planted(
        "an order that time ends is told only at the next call",
        "judge",
        "src/krakenonce/testing/sockets.py",
        was="        fake.streams.tick(session)\n",
        becomes="        session.beat()\n",
        test=f"{_EVENTS}::test_an_order_that_ends_says_why",
    ),
    Planted(
        "a relative price of a conditional close over a WebSocket is taken for a price",
        "judge",
        "src/krakenonce/testing/socket_trading.py",
        was='conditional.get(f"{name}_type"), "conditional")',
        becomes='None, "conditional")',
        test="tests/integration/testing/test_socket_orders.py::test_the_prices_of_a_conditional_close_may_be_relative",
    ),
    Planted(
        "a switch of an order over a WebSocket that is no switch is off",
        "judge",
        "src/krakenonce/testing/socket_trading.py",
        was="if name in _SWITCHES and not isinstance(value, bool):",
        becomes="if name in _SWITCHES and value is None:",
        test="tests/integration/testing/test_socket_orders.py::test_a_wrong_order_is_refused",
    ),
    Planted(
        "the answer to an unsubscribe that finds nothing names the method that was called",
        "judge",
        _SESSION,
        was='{"method": "subscribe"} if isinstance(refusal, _NotFound) else {}',
        becomes="{}",
        test=f"{_SOCKETS}::test_nothing_is_subscribed_to_twice",
    ),
    Planted(
        "the end of an account's subscription repeats what its begin said",
        "judge",
        _SESSION,
        was='{"channel": channel} if channel in _PRIVATE else there.described',
        becomes="there.described",
        test=f"{_EVENTS}::test_the_end_of_a_subscription_names_the_channel",
    ),
)
