"""Bugs in what Kraken has since 2026: strategies, the group cancel-all, the Funding API, methods that are not known."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["NEWER"]

_METHODS = "src/krakenonce/key/methods.py"
_FUNDING = "src/krakenonce/key/funding.py"
_NOT_KNOWN = "src/krakenonce/key/not_known.py"
_CLIENT = "tests/integration/kraken/test_newer_methods.py"
_GATEWAY = "tests/integration/gateway/test_newer_methods.py"
_GUARD = "tests/integration/guard/test_funding.py::test_a_guarded_client_sends_nothing_to_the_funding_api"

NEWER = (
    Planted(
        "a strategy is started again after a lost answer",
        9,
        _METHODS,
        was='group="trade",\n            validate=True,\n            look=',
        becomes='kind=Kind.READ,\n            group="trade",\n            validate=True,\n            look=',
        test=f"{_CLIENT}::test_a_strategy_is_never_started_again",
    ),
    Planted(
        "a strategy gets an id as an order does",
        9,
        _METHODS,
        was='group="trade",\n            validate=True,\n            look=',
        becomes='kind=Kind.ORDER,\n            group="trade",\n            validate=True,\n            look=',
        test=f"{_CLIENT}::test_a_strategy_is_never_started_again",
    ),
    Planted(
        "whatever names a strategy is stopped again",
        9,
        _METHODS,
        was='"(O|AS)[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}"',
        becomes='".*"',
        test=f"{_CLIENT}::test_a_strategy_is_stopped_again_by_kraken_s_id_alone",
    ),
    Planted(
        "an error does not say where a strategy can be seen",
        9,
        "src/krakenonce/kraken/request.py",
        was="It may have been executed: {look} before",
        becomes="It may have been executed: ask Kraken before",
        test=f"{_CLIENT}::test_a_strategy_is_never_started_again",
    ),
    Planted(
        "a local key that trades cancels the orders of all bots",
        "security",
        "src/krakenonce/gateway/groups.py",
        was='if group == "cancel" else',
        becomes='if group.startswith("cancel") else',
        test=f"{_GATEWAY}::test_each_newer_method_needs_its_group",
    ),
    Planted(
        "a full record stops the dead man's switch",
        9,
        "src/krakenonce/gateway/sending.py",
        was='.group in ("cancel", "cancel-all")',
        becomes='.group in ("cancel",)',
        test="tests/integration/gateway/test_fence.py::test_when_a_day_s_calls_fill_the_record_only_cancels_go_on",
    ),
    Planted(
        "a panic button that cancels by id only is not named at the start",
        "security",
        "src/krakenonce/gateway/running.py",
        was='"cancel-all" not in each.allow',
        becomes='"cancel-all" in each.allow',
        test=f"{_GATEWAY}::test_keys_that_may_not_cancel_all_any_more_are_named_at_the_start",
    ),
    Planted(
        "a key whose groups change gets another pair",
        "security",
        "src/krakenonce/gateway/local_keys.py",
        was="replace(before, allow=parse_groups((before.allow | add) - remove))",
        becomes="replace(before, allow=parse_groups((before.allow | add) - remove), **_new_pair())",
        test="tests/integration/gateway/test_cli.py::test_the_groups_of_a_key_are_changed",
    ),
    Planted(
        "a newer public method is called with a key",
        7,
        _METHODS,
        was='*_SPECIFIED, "MaintenanceSchedule", "PreTrade"',
        becomes='*_SPECIFIED, "PreTrade"',
        test="tests/integration/cli/test_kraken_commands.py::test_newer_public_methods_need_no_account",
    ),
    Planted(
        "a path of the Funding API that is percent-encoded is taken for a method",
        10,
        _FUNDING,
        was="for _ in range(_ENCODED):",
        becomes="for _ in range(0):",
        test=f"{_CLIENT}::test_the_funding_api_is_refused_by_name",
    ),
    Planted(
        "a path of the Funding API in capitals is taken for a method",
        10,
        _FUNDING,
        was='.lower().split("/")',
        becomes='.split("/")',
        test=f"{_CLIENT}::test_the_funding_api_is_refused_by_name",
    ),
    Planted(
        "the gateway passes a call with its nonce in a header on",
        10,
        "src/krakenonce/gateway/front.py",
        was="is_funding(path, request.headers)",
        becomes="is_funding(path)",
        test=f"{_GATEWAY}::test_the_funding_api_is_refused_by_name",
    ),
    Planted(
        "a guarded krakenex sends a nonce in a header",
        10,
        "src/krakenonce/guards/krakenex.py",
        was='refuse_funding(f"{client.uri}{urlpath}", headers or ())',
        becomes='refuse_funding(f"{client.uri}{urlpath}")',
        test=f"{_GUARD}[krakenex]",
    ),
    Planted(
        "a guarded asynchronous ccxt sends to the Funding API",
        10,
        "src/krakenonce/guards/ccxt.py",
        was="    refuse_funding(url, headers or ())\n    if not isinstance(headers, _Signed):\n        return await",
        becomes="    if not isinstance(headers, _Signed):\n        return await",
        test=f"{_GUARD}[ccxt async]",
    ),
    Planted(
        "a guarded python-kraken-sdk sends to the Funding API",
        10,
        "src/krakenonce/guards/kraken_sdk.py",
        was="    turns.after_fork(client._SpotClient__session.close)\n    refuse_funding(uri)\n",
        becomes="    turns.after_fork(client._SpotClient__session.close)\n",
        test=f"{_GUARD}[sdk User]",
    ),
    Planted(
        "what is no method uses up a nonce",
        7,
        "src/krakenonce/key/parameters.py",
        was="METHODS[checked(method)]",
        becomes="METHODS[method]",
        test=f"{_CLIENT}::test_what_is_no_method_uses_no_nonce",
    ),
    Planted(
        "a method that is not known is said with each call",
        11,
        _NOT_KNOWN,
        was="_said.setdefault(name[:_LONGEST], mine) is not mine",
        becomes="_said.setdefault(name[:_LONGEST], mine) is None",
        test=f"{_CLIENT}::test_a_method_that_is_not_known_is_said_once",
    ),
    Planted(
        "random names fill the log",
        11,
        _NOT_KNOWN,
        was=" or len(_said) >= _MOST:\n        return",
        becomes=":\n        return",
        test=f"{_CLIENT}::test_random_names_do_not_fill_the_log_or_the_memory",
    ),
    Planted(
        "the gateway says nothing about a method that is not known",
        11,
        "src/krakenonce/gateway/gateway.py",
        was="            say_if_not_known(call.method)\n",
        becomes="            pass\n",
        test=f"{_GATEWAY}::test_a_method_that_is_not_known_is_said_once",
    ),
)
