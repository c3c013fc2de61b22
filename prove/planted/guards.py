"""Bugs in the guards of other clients. Promises 9 and 10."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["GUARDS"]

_CCXT = "src/krakenonce/guards/ccxt.py"

GUARDS = (
    Planted(
        "a cancel of a guarded client waits like any other call",
        10,
        "src/krakenonce/guards/turns.py",
        was="self._lane = api_key.turn(urgent=urgent)",
        becomes="self._lane = api_key.turn()",
        test="tests/integration/guard/test_urgent.py::test_a_cancel_goes_before_reads_that_wait",
    ),
    Planted(
        "a session that repeats POST requests is guarded",
        9,
        "src/krakenonce/guards/turns.py",
        was='(not verbs or "POST" in verbs)',
        becomes="not verbs",
        test="tests/integration/guard/test_entry.py::test_a_session_that_repeats_posts_is_refused",
    ),
    Planted(
        "a guarded ccxt repeats what moves money",
        9,
        _CCXT,
        was="        if tries:\n",
        becomes="        if tries is None:\n",
        test="tests/integration/guard/test_ccxt.py::test_what_moves_money_is_sent_once",
    ),
    Planted(
        "a guarded krakenex gives the turn back before the answer is in",
        10,
        "src/krakenonce/guards/krakenex.py",
        was="    with turns.lane(client.key, client.secret, method=method, params=data or {}):\n"
        "        # A copy, because krakenex writes the nonce into the caller's parameters.\n"
        "        answer = send(",
        becomes="    with turns.lane(client.key):\n        pass\n    if True:\n        answer = send(",
        test="tests/integration/guard/test_clients.py::test_the_lane_is_held_while_a_private_call_is_made[krakenex]",
    ),
    Planted(
        "a guarded ccxt gives the turn back before the answer is in",
        10,
        _CCXT,
        was="    with headers.lane:\n        return send(*_signed_again(client, headers))\n",
        becomes="    with headers.lane:\n        request = _signed_again(client, headers)\n    return send(*request)\n",
        test="tests/integration/guard/test_clients.py::test_the_lane_is_held_while_a_private_call_is_made[ccxt]",
    ),
    Planted(
        "a guarded ccxt sends what was signed before its turn",
        10,
        _CCXT,
        was="    with headers.lane:\n        return send(*_signed_again(client, headers))\n",
        becomes="    with headers.lane:\n        return send(url, method, headers, body)\n",
        test="tests/integration/guard/test_ccxt.py::test_a_request_signed_by_hand_is_in_order_too",
    ),
    Planted(
        "a guarded python-kraken-sdk gives the turn back before the answer is in",
        10,
        "src/krakenonce/guards/kraken_sdk.py",
        was="    with turns.lane(client._key, client._secret, method=_method(uri), params=params or {}):\n"
        "        token = _is_private.set(True)\n        try:\n            return send",
        becomes="    with turns.lane(client._key):\n        pass\n    if True:\n"
        "        token = _is_private.set(True)\n        try:\n            return send",
        test="tests/integration/guard/test_clients.py::test_the_lane_is_held_while_a_private_call_is_made[sdk User]",
    ),
    Planted(
        "a lockout seen by a guarded client closes the key for no call",
        12,
        "src/krakenonce/guards/turns.py",
        was='            api_key.settle(api_key.place("", {}), refusal)\n',
        becomes="            pass\n",
        test="tests/integration/guard/test_lockout.py::test_a_lockout_seen_by_one_client_closes_the_key_for_all",
    ),
    Planted(
        "a lockout of another process looks as if none was ever noted",
        12,
        "src/krakenonce/key/limits_state.py",
        was=" or any(start[LOCKED_AT:])",
        becomes="",
        test="tests/integration/guard/test_lockout.py::test_a_lockout_seen_by_one_client_closes_the_key_for_all",
    ),
    Planted(
        "a look for a lockout does not note that the wall clock was set",
        12,
        "src/krakenonce/key/limits_state.py",
        was="lambda: 0.0)[1] == before",
        becomes="lambda: 0.0)[1] is not None",
        test="tests/integration/key/test_containers.py::test_a_step_writes_nothing_for_the_clocks_alone",
    ),
    Planted(
        "a guarded client sends during a lockout",
        12,
        "src/krakenonce/guards/turns.py",
        was="            if self._heed_lockout:\n",
        becomes="            if False:\n",
        test="tests/integration/guard/test_lockout.py::test_a_client_may_go_on_during_a_lockout",
    ),
)
