"""The gateway sends no request twice, by a state in a database: the tests of the same name on it."""

import pytest

from tests.hosts.gateways import *  # noqa: F403
from tests.integration.gateway.test_fence import (  # noqa: F401
    test_a_call_of_another_process_s_gateway_is_waited_for,
    test_a_kept_answer_outlives_a_kill,
    test_a_killed_gateway_s_order_is_not_sent_again,
    test_a_repeat_may_be_read_before_the_end_of_the_first_connection,
    test_a_repeat_of_an_answered_order_is_refused_as_kraken_refuses_it,
    test_a_repeat_waits_for_the_answer_if_the_first_sender_has_gone,
    test_an_answer_that_arrived_and_was_not_read_is_not_received,
    test_an_answer_that_nobody_received_is_kept_for_the_repeat,
    test_an_order_that_is_only_checked_in_the_query_string_is_not_sent_twice,
    test_calls_that_only_read_may_be_repeated,
    test_equal_bytes_from_two_callers_at_once_are_sent_once,
    test_no_call_that_changes_something_is_sent_twice,
    test_nonces_of_clients_need_not_rise,
    test_the_repeat_of_an_unknown_call_is_unknown_too,
    test_thirty_orders_at_once_are_all_sent,
    test_what_was_never_sent_may_be_sent_later,
    test_when_a_day_s_calls_fill_the_record_only_cancels_go_on,
)
from tests.integration.gateway.test_restarts import test_a_kill_under_load_costs_no_nonce_and_repeats_no_order  # noqa: F401


@pytest.fixture(params=["postgres"])
def engine_kind(request: pytest.FixtureRequest) -> str:
    """One kind of server is enough: what differs between them is in the tests of backends and in ``test_gateways``."""
    kind: str = request.param
    return kind
