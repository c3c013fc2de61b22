"""Bugs in the call, as our two clients make it. Promises 7 and 9 to 11."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["CLIENTS"]

_REPEATING = "src/krakenonce/kraken/repeating.py"
_SENT = "src/krakenonce/kraken/sent.py"
_SESSION = "src/krakenonce/kraken/session.py"
_EXCHANGE = "src/krakenonce/kraken/request.py"
_SYNC = "src/krakenonce/kraken/transport.py"
_ASYNC = "src/krakenonce/kraken/async_transport.py"

CLIENTS = (
    Planted(
        "a repeated call has the nonce of the first try",
        7,
        _SESSION,
        was="            nonce = api_key.nonce(place)\n",
        becomes="""\
            if call.signed_at is None:
                self._nonce = api_key.nonce(place)
            nonce = self._nonce
""",
        test="tests/integration/kraken/test_typed_calls.py::test_a_cancel_that_was_repeated_never_says_that_it_was_not_executed",
    ),
    Planted(
        "a nonce passes through a float",
        7,
        _EXCHANGE,
        was='fields = {"nonce": nonce, **self.params}',
        becomes='fields = {"nonce": int(float(str(nonce))), **self.params}',
        test="tests/integration/kraken/test_client.py::test_the_nonce_taken_is_the_nonce_sent",
    ),
    Planted(
        "an order's deadline is by this machine's clock",
        9,
        _SESSION,
        was="call.request(self._signer, nonce, self._transport.time.now())",
        becomes="call.request(self._signer, nonce, self._transport.time.local())",
        test="tests/integration/kraken/test_wrong_clock.py::test_the_first_order_has_a_deadline_by_kraken_s_clock",
    ),
    Planted(
        "nobody asks for Kraken's time before the first order",
        9,
        "src/krakenonce/kraken/calling.py",
        was="            if call.lifetime is not None:\n",
        becomes="            if call.lifetime is None:\n",
        test="tests/integration/kraken/test_wrong_clock.py::test_the_first_order_has_a_deadline_by_kraken_s_clock",
    ),
    Planted(
        "the gateway tells its own machine's time",
        9,
        "src/krakenonce/gateway/front.py",
        was='        dated = {} if "Date" in reply.headers else self._time.header()\n',
        becomes="        dated: dict[str, str] = {}\n",
        test="tests/integration/gateway/test_calls.py::test_clients_read_kraken_s_time_in_each_answer",
    ),
    Planted(
        "a history ends at this machine's time",
        11,
        "src/krakenonce/kraken/queries.py",
        was="    return calls.time.latest()\n",
        becomes="    return calls.time.local()\n",
        test="tests/integration/kraken/test_wrong_clock.py::test_histories_end_with_the_newest_entry",
    ),
    Planted(
        "an order without an answer is sent again",
        9,
        _REPEATING,
        was='elif error.may_have_executed == "unknown" and self.kind in (Kind.READ, Kind.CANCEL):',
        becomes='elif error.may_have_executed == "unknown":',
        test="tests/unit/kraken/test_calling.py::test_what_changes_something_is_not_repeated",
    ),
    Planted(
        "a cancel by userref is sent again",
        9,
        "src/krakenonce/key/methods.py",
        was="all(isinstance(each, str) and _TXID.fullmatch(each) for each in named)",
        becomes="True",
        test="tests/integration/kraken/test_rules_of_calls.py::test_a_cancel_by_userref_does_not_hit_a_younger_order",
    ),
    Planted(
        "urllib3 sends a call again",
        9,
        _SYNC,
        was="                retries=False,\n",
        becomes="                retries=urllib3.Retry(3, allowed_methods=None),\n",
        test="tests/integration/kraken/test_client.py::test_a_cut_connection_is_not_sent_again",
    ),
    Planted(
        "urllib3 follows a redirect",
        9,
        _SYNC,
        was="                retries=False,\n                redirect=False,\n",
        becomes="                retries=urllib3.Retry(3, connect=0, read=0, other=0),\n",
        test="tests/integration/kraken/test_client.py::test_other_answers_are_unknown_outcomes",
    ),
    Planted(
        "aiohttp sends a call again",
        9,
        _ASYNC,
        was="    session._retry_connection = False ",
        becomes="    session._retry_connection = True ",
        test="tests/integration/kraken/test_async_client.py::test_a_cut_public_call_is_not_sent_again_either",
    ),
    Planted(
        "aiohttp follows a redirect",
        9,
        _ASYNC,
        was="allow_redirects=False,",
        becomes="allow_redirects=True,",
        test="tests/integration/kraken/test_async_client.py::test_other_answers_are_unknown_outcomes",
    ),
    Planted(
        "a call that was sent counts as not sent",
        9,
        _SYNC,
        was="        _progress.sent = True\n",
        becomes="        _progress.sent = False\n",
        test="tests/integration/kraken/test_client.py::test_silence_is_an_unknown_outcome",
    ),
    Planted(
        "an order is given up before its deadline",
        9,
        _SENT,
        was="        if now > until + MARGIN:\n",
        becomes="        if now > until - timedelta(seconds=LIFETIME):\n",
        test="tests/unit/kraken/test_calling.py::test_an_order_is_repeated_after_invalid_nonce_only_when_it_cannot_have_been_placed",
    ),
    Planted(
        "our own clock says when an order's deadline is over",
        9,
        _SENT,
        was="        if now > until + MARGIN:\n",
        becomes="        if datetime.fromtimestamp(calls.now(), UTC) > until + MARGIN:\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_our_own_clock_does_not_end_the_search",
    ),
    Planted(
        "closed orders are asked for before open ones",
        9,
        _SENT,
        was='for method, part in (("OpenOrders", "open"), ("ClosedOrders", "closed")):',
        becomes='for method, part in (("ClosedOrders", "closed"), ("OpenOrders", "open")):',
        test="tests/integration/kraken/test_rules_of_calls.py::test_an_order_that_is_filled_while_it_is_looked_for_is_found",
    ),
    Planted(
        "yesterday's order of the same id passes as today's",
        9,
        _SENT,
        was="== cl_ord_id and _is_new(each, since)",
        becomes="== cl_ord_id",
        test="tests/unit/kraken/test_calling.py::test_an_id_that_was_used_before_is_another_order",
    ),
    Planted(
        "an order that cannot be looked for is sent again",
        9,
        _REPEATING,
        was="        if not order.cl_ord_ids:\n            raise error\n",
        becomes="        if not order.cl_ord_ids:\n            return None\n",
        test="tests/unit/kraken/test_calling.py::test_an_order_without_an_id_is_not_repeated_after_invalid_nonce",
    ),
    Planted(
        "a withdrawal is sent again after Invalid nonce",
        9,
        _REPEATING,
        was="        if kind is Kind.OTHER:\n            raise error\n",
        becomes="        if kind is Kind.OTHER:\n            return None\n",
        test="tests/unit/kraken/test_calling.py::test_a_withdrawal_is_not_repeated_after_invalid_nonce",
    ),
    Planted(
        "a failed query passes as the answer that there is no such order",
        9,
        _REPEATING,
        was="            raise error from failed\n        if not found.placed:\n",
        becomes="            return None\n        if not found.placed:\n",
        test="tests/integration/kraken/test_rules_of_calls.py::test_an_order_whose_look_fails_is_not_repeated",
    ),
    Planted(
        "the client gives the turn back before the answer is in",
        10,
        "src/krakenonce/kraken/client.py",
        was="            request = self._sign(step)\n            reply = self",
        becomes="            request = self._sign(step)\n        if True:\n            reply = self",
        test="tests/integration/kraken/test_client.py::test_threads_of_one_key_never_cross",
    ),
    Planted(
        "the async client gives the turn back before the answer is in",
        10,
        "src/krakenonce/kraken/aio.py",
        was="            request = self._sign(step)\n            reply = await self",
        becomes="            request = self._sign(step)\n        if True:\n            reply = await self",
        test="tests/integration/kraken/test_async_client.py::test_two_hundred_tasks_of_one_key_never_cross",
    ),
    Planted(
        "an error string that is not known passes as a result",
        11,
        "src/krakenonce/key/answers.py",
        was='if any(not string.startswith("W") for string in strings) else None',
        becomes="if any(_kind_of(string) is not errors.UnknownKrakenError for string in strings) else None",
        test="tests/unit/kraken/test_calling.py::test_an_unknown_string_is_never_a_result",
    ),
    Planted(
        "HTML passes as a result",
        11,
        _EXCHANGE,
        was="        answer = None\n    if status == 200 and",
        becomes='        answer = {"error": [], "result": data.decode()}\n    if',
        test="tests/integration/kraken/test_client.py::test_other_answers_are_unknown_outcomes",
    ),
    Planted(
        "an answer with neither error nor result passes as a result",
        11,
        "src/krakenonce/key/answers.py",
        was='    if result is None or not isinstance(reply.get("error"), list | tuple):',
        becomes='    if not isinstance(reply.get("error"), list | tuple):',
        test="tests/unit/key/test_answers.py::test_neither_error_nor_result_is_an_unknown_outcome",
    ),
    Planted(
        "parent and child of a fork read each other's answers",
        11,
        _SYNC,
        was="        self._after_fork(self._renew) ",
        becomes="",
        test="tests/integration/kraken/test_client.py::test_a_forked_child_opens_its_own_connection",
    ),
)
