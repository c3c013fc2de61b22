"""What became of an order whose answer was lost, by a state in a database: the tests of the same name on it."""

import pytest

from tests.hosts.gateways import *  # noqa: F403
from tests.integration.gateway.test_finding_out import (  # noqa: F401
    test_a_cancel_waits_for_one_search_at_most,
    test_a_second_order_with_the_same_cl_ord_id_waits_for_the_first,
    test_a_stopping_gateway_says_what_it_knows,
    test_an_executed_order_s_txid_is_found,
    test_an_order_is_refused_only_when_its_deadline_is_over,
    test_an_order_that_is_late_cannot_be_executed_after_the_question,
    test_an_order_that_is_seen_late_is_found_for_the_repeat,
    test_another_gateway_knows_an_order_before_its_sender_has_the_answer,
    test_another_order_with_the_same_cl_ord_id_goes_on_its_own,
    test_kraken_is_asked_before_any_other_call_of_the_key,
    test_no_order_is_given_to_two_that_wait_for_one,
    test_the_deadline_of_an_equal_order_proves_nothing_after_a_kill,
    test_what_the_gateway_knows_is_kept_with_an_answer_that_nobody_received,
)


@pytest.fixture  # type: ignore[no-redef]
def order_timeout() -> float:
    """Half a second."""
    return 0.5


@pytest.fixture(params=["postgres"])
def engine_kind(request: pytest.FixtureRequest) -> str:
    """One kind of server is enough: what differs between them is in the tests of backends and in ``test_gateways``."""
    kind: str = request.param
    return kind
