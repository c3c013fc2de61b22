"""Bugs in the gateway: which calls are admitted, what is sent, and whose turn it is."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["GATEWAY"]

_GATEWAY = "src/krakenonce/gateway/gateway.py"
_QUEUE = "src/krakenonce/gateway/waiting.py"
_KEYS = "src/krakenonce/gateway/local_keys.py"
_CALL = "src/krakenonce/gateway/client_call.py"
_SILENT = "tests/integration/gateway/test_silent_state.py"

GATEWAY = (
    Planted(
        "the gateway does not compare the signature",
        "security",
        _GATEWAY,
        was="        if not is_signed(path, call.nonce,",
        becomes='        if not headers.get("API-Sign") and not is_signed(path, call.nonce,',
        test="tests/integration/gateway/test_calls.py::test_a_wrong_signature_is_refused",
    ),
    Planted(
        "a signature is valid for every path",
        "security",
        "src/krakenonce/kraken/wire.py",
        was='    message = path.encode("utf-8", "surrogateescape") + digest\n',
        becomes="    message = digest\n",
        test="tests/integration/gateway/test_calls.py::test_a_wrong_signature_is_refused",
    ),
    Planted(
        "the gateway does not check what a local key may do",
        "security",
        _GATEWAY,
        was="        if not needed & local.allow:\n",
        becomes="        if not needed:\n",
        test="tests/integration/gateway/test_calls.py::test_what_is_not_on_the_list_is_refused",
    ),
    Planted(
        "a strict local key accepts a replay",
        "security",
        _GATEWAY,
        was="int(call.nonce) <= self._last_local.get(local.key, -1):\n",
        becomes="int(call.nonce) < self._last_local.get(local.key, -1):\n",
        test="tests/integration/gateway/test_calls.py::test_only_a_strict_local_key_refuses_a_replay",
    ),
    Planted(
        "a revoked local key is still valid",
        "security",
        _KEYS,
        was="        if identity != self._seen:\n",
        becomes="        if self._seen is None:\n",
        test="tests/integration/gateway/test_local_keys.py::test_a_change_is_seen_at_the_next_lookup",
    ),
    Planted(
        "others may read the local keys",
        "security",
        "src/krakenonce/backends/file/filesystem.py",
        was="flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)",
        becomes="flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)",
        test="tests/integration/gateway/test_local_keys.py::test_keys_are_kept_in_a_private_file",
    ),
    Planted(
        "the size of a body is not limited",
        "security",
        "src/krakenonce/gateway/front.py",
        was="LARGEST_BODY = 256 * 1024 ",
        becomes="LARGEST_BODY = 256 * 1024 * 1024 ",
        test="tests/integration/gateway/test_faults.py::test_large_bodies_and_headers_are_refused",
    ),
    Planted(
        "a body with two nonces is sent",
        9,
        _CALL,
        was='    if names.count("nonce") != 1:\n',
        becomes='    if "nonce" not in names:\n',
        test="tests/unit/gateway/test_body.py::test_a_body_without_exactly_one_nonce_is_refused",
    ),
    Planted(
        "more than the nonce is changed",
        9,
        _CALL,
        was='b"&".join([b"", *fields[at + 1 :]])\n',
        becomes='b"&".join([b"", *filter(None, fields[at + 1 :])]).replace(b"%20", b"+")\n',
        test="tests/unit/gateway/test_body.py::test_a_form_s_nonce_is_replaced",
    ),
    Planted(
        "pages wait for the disk with the calls",
        10,
        "src/krakenonce/gateway/accepting.py",
        was='first.startswith(b"GET /") and',
        becomes='first.startswith(b"get /") and',
        test=f"{_SILENT}::test_pages_answer_while_the_state_does_not_and_calls_go_on_afterwards",
        hangs=15,
    ),
    Planted(
        "a page waits for the state for ever",
        10,
        "src/krakenonce/gateway/state_look.py",
        was="timeout=max(0.0, began + PATIENCE - time.monotonic())",
        becomes="timeout=None",
        test=f"{_SILENT}::test_a_page_that_was_never_answered_says_that_the_state_does_not_answer",
        hangs=10,
    ),
    Planted(
        "systemd kills a gateway that waits for the disk",
        10,
        "src/krakenonce/gateway/watching.py",
        was="            if silent < _LONGEST:\n",
        becomes="            if not silent:\n",
        test=f"{_SILENT}::test_systemd_is_notified_while_the_gateway_waits_for_the_state",
        hangs=15,
    ),
    Planted(
        "the gateway releases the turn before the answer is in",
        10,
        _QUEUE,
        was="            async with self._lane(timeout=self._max_wait, urgent=urgent):\n",
        becomes="            async with self._lane(timeout=self._max_wait, urgent=urgent):\n                pass\n"
        "            if self._lane:\n",
        test="tests/integration/gateway/test_queue.py::test_the_lane_is_held_until_the_call_is_over",
    ),
    Planted(
        "a client that disconnects while waiting uses a nonce",
        10,
        _QUEUE,
        was="            if self._waiting.pop(call, None) is not None:\n                call.cancel()\n",
        becomes="            pass\n",
        test="tests/integration/gateway/test_queue.py::test_a_call_cancelled_while_waiting_leaves_the_queue",
    ),
    Planted(
        "cancels wait behind orders",
        10,
        _QUEUE,
        was="self._lane(timeout=self._max_wait, urgent=urgent)",
        becomes="self._lane(timeout=self._max_wait)",
        test="tests/integration/gateway/test_queue.py::test_cancels_go_first",
    ),
    Planted(
        "a gateway that stops drops the call that was sent",
        9,
        _QUEUE,
        was="            await asyncio.wait([self._begun])\n",
        becomes="            self._begun.cancel()\n",
        test="tests/integration/gateway/test_queue.py::test_close_refuses_the_calls_that_wait_and_lets_the_one_end",
    ),
    Planted(
        "a gateway that stops waits longer than its container may",
        9,
        "src/krakenonce/gateway/server.py",
        was="DRAIN = 35.0  #",
        becomes="DRAIN = 50.0  #",
        test="tests/integration/gateway/test_stop_times.py::test_every_recipe_lets_the_gateway_wait_for_its_answers",
    ),
    Planted(
        "a lockout stops only the caller that got it",
        12,
        "src/krakenonce/key/api_key.py",
        was="            self._limiter.lock_out(self.key, LOCKOUT)\n",
        becomes="            pass\n",
        test="tests/integration/gateway/test_faults.py::test_a_lockout_stops_all_calls_of_the_key",
    ),
    Planted(
        "a wrong account is not served any more after SIGHUP",
        9,
        "src/krakenonce/gateway/running.py",
        was="keys.keys() - accounts.keys() - found.wrong.keys()",
        becomes="keys.keys() - accounts.keys()",
        test="tests/integration/gateway/test_serving.py::test_a_wrong_account_stops_no_other",
    ),
    Planted(
        "the gateway sends a call before the time that status 429 has named",
        12,
        "src/krakenonce/gateway/upstream.py",
        was="        refuse_if_closed(self._transport.host)\n        nonce = self.api_key.nonce(place)\n",
        becomes="        nonce = self.api_key.nonce(place)\n",
        test="tests/integration/gateway/test_blocked.py::test_calls_that_wait_for_their_turn_are_not_sent_either",
    ),
    Planted(
        "the gateway waits for no time that status 429 has named",
        12,
        "src/krakenonce/gateway/upstream.py",
        was="        return max(self.api_key.ask(place, longest), closed)\n",
        becomes="        return self.api_key.ask(place, longest)\n",
        test="tests/integration/gateway/test_blocked.py::test_a_short_wait_is_waited",
    ),
    Planted(
        "the gateway hears of a lockout with status 200 only",
        12,
        "src/krakenonce/gateway/upstream.py",
        was="if not (status == 200 or 400 <= status < 500) or",
        becomes="if status != 200 or",
        test="tests/integration/gateway/test_blocked.py::test_a_lockout_counts_with_any_status",
    ),
    Planted(
        "a gateway that does not know Kraken's time tells its own",
        9,
        "src/krakenonce/gateway/front.py",
        was=' or {"Date": ""}',
        becomes="",
        test="tests/integration/gateway/test_calls.py::test_a_gateway_that_does_not_know_kraken_s_time_tells_none",
    ),
)
