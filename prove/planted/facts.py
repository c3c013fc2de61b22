"""Bugs in what the fake Kraken refuses and answers by the table of what Kraken documents."""

from __future__ import annotations

from prove.planted.bug import Planted

__all__ = ["FACTS"]

_CHECKING = "src/krakenonce/testing/documented/checking.py"
_NOTATION = "src/krakenonce/testing/documented/notation.py"
_TESTS = "tests/integration/testing"

FACTS = (
    Planted(
        "the fake Kraken ignores a parameter that Kraken does not have",
        "judge",
        _CHECKING,
        was="                is_right = tests[name](value)\n",
        becomes="                is_right = name not in tests or tests[name](value)\n",
        test=f"{_TESTS}/test_documented.py::test_what_is_not_documented_or_not_simulated_is_named",
    ),
    Planted(
        "the fake Kraken does not miss a parameter",
        "judge",
        _CHECKING,
        was="            if name not in params:\n",
        becomes="            if False:\n",
        test=f"{_TESTS}/test_documented.py::test_what_is_missing_is_named",
    ),
    Planted(
        "the fake Kraken ignores a parameter that it does not simulate",
        "judge",
        _CHECKING,
        was="        if self._unsimulated and ",
        becomes="        if False and ",
        test=f"{_TESTS}/test_documented.py::test_what_is_not_documented_or_not_simulated_is_named",
    ),
    Planted(
        "the fake Kraken takes digits that are not ASCII",
        "judge",
        _NOTATION,
        was='_NUMBER = r"(?:[0-9]{1,20}',
        becomes='_NUMBER = r"(?:\\d{1,20}',
        test=f"{_TESTS}/test_documented.py::test_nonsense_is_refused_by_name",
    ),
    Planted(
        "an integer of the fake Kraken has no limits",
        "judge",
        _CHECKING,
        was="    return lambda value: looks_right(value) and int(value) in allowed\n",
        becomes="    return looks_right\n",
        test=f"{_TESTS}/test_documented.py::test_nonsense_is_refused_by_name",
    ),
    Planted(
        "an answer of the fake Kraken has a number where Kraken has a text",
        "judge",
        "src/krakenonce/testing/queries.py",
        was='            "hold_trade": amount_text(asset, call.account.held(asset, fee)),\n',
        becomes='            "hold_trade": float(call.account.held(asset, fee)),\n',
        test=f"{_TESTS}/test_answers.py::test_every_answer_is_as_documented",
    ),
    Planted(
        "the comparison of answers takes what is not documented",
        "judge",
        "src/krakenonce/testing/documented/answers.py",
        was='            yield f"{where}.{name} is not documented"\n',
        becomes="            pass\n",
        test=f"{_TESTS}/test_answers.py::test_a_difference_is_named",
    ),
    Planted(
        "a withdrawal of the fake Kraken may cost any fee",
        "judge",
        "src/krakenonce/testing/funding.py",
        was='way.fee > Decimal(call.params["max_fee"])',
        becomes='way.fee < Decimal(call.params["max_fee"])',
        test=f"{_TESTS}/test_funding.py::test_a_wrong_withdrawal_is_refused",
    ),
    Planted(
        "a cancelled withdrawal of the fake Kraken keeps its fee",
        "judge",
        "src/krakenonce/testing/funding.py",
        was='    amount = Decimal(found["amount"]) + Decimal(found["fee"])\n',
        becomes='    amount = Decimal(found["amount"])\n',
        test=f"{_TESTS}/test_funding.py::test_a_withdrawal_takes_from_the_balance",
    ),
    Planted(
        "an allocation of the fake Kraken is never pending",
        "judge",
        "src/krakenonce/testing/earn.py",
        was="PENDING = 1.0  #",
        becomes="PENDING = 0.0  #",
        test=f"{_TESTS}/test_earn.py::test_an_allocation_moves_the_balance",
    ),
    Planted(
        "an export of the fake Kraken has entries of any time",
        "judge",
        "src/krakenonce/testing/exports.py",
        was='        if export.start <= entry["time"] < export.end:\n',
        becomes="        if True:\n",
        test=f"{_TESTS}/test_answers.py::test_an_export_has_what_was_asked_for",
    ),
    Planted(
        "an amended order of the fake Kraken forgets what it was",
        "judge",
        "src/krakenonce/testing/amends.py",
        was="setdefault(order.txid, was).append(changed)",
        becomes="update({order.txid: [changed]})",
        test=f"{_TESTS}/test_answers.py::test_every_answer_is_as_documented",
    ),
    Planted(
        "the fake Kraken asks for no second permission",
        "judge",
        "src/krakenonce/testing/admission.py",
        was="any(each <= key.permissions for each in needed)",
        becomes="any(each & key.permissions for each in needed)",
        test=f"{_TESTS}/test_funding.py::test_funding_needs_every_permission",
    ),
    Planted(
        "the fake Kraken refuses the objects of CancelOrderBatch that Kraken documents",
        "judge",
        "src/krakenonce/testing/trading.py",
        was='name if isinstance(name, dict) else {"cl_ord_id": name.strip()}',
        becomes='{"cl_ord_id": name}',
        test=f"{_TESTS}/test_orders.py::test_several_orders_are_cancelled",
    ),
    Planted(
        "the fake Kraken ignores the limit of Earn's strategies",
        "judge",
        "src/krakenonce/testing/earn.py",
        was='int(call.params.get("limit", len(items)))',
        becomes="len(items)",
        test=f"{_TESTS}/test_earn.py::test_strategies_come_in_pages",
    ),
    Planted(
        "the fake Kraken does not know the Funding API",
        "judge",
        "src/krakenonce/testing/calls.py",
        was="if is_funding(request.path_qs, request.headers):",
        becomes="if False:",
        test=f"{_TESTS}/test_documented.py::test_the_funding_api_is_refused_by_name",
    ),
    Planted(
        "what the fake Kraken does not simulate of a conditional close is named as wrong",
        "judge",
        "src/krakenonce/testing/documented/trading.py",
        was="{limit|-iceberg|stop-loss",
        becomes="{limit|iceberg|stop-loss",
        test=f"{_TESTS}/test_triggers.py::test_a_conditional_close_shows_no_part",
    ),
    Planted(
        "the fake Kraken refuses what Kraken ignores",
        "judge",
        _CHECKING,
        was="also=(*also, *_ignored(name))",
        becomes="also=also",
        test=f"{_TESTS}/test_documented.py::test_what_clients_send_and_kraken_ignores_is_ignored",
    ),
    Planted(
        "the fake Kraken refuses what Kraken ignores of a close",
        "judge",
        _CHECKING,
        was="also=_ignored(its.name))",
        becomes="also=())",
        test=f"{_TESTS}/test_documented.py::test_what_kraken_ignores_of_a_close_is_ignored",
    ),
)
