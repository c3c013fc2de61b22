"""What a result may say although Kraken named no error: that nothing was placed, or that the call was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.errors import OutcomeUnknown
from krakenonce.key.answers import Reading, error_from
from krakenonce.key.methods import METHODS, Kind, kind_of

if TYPE_CHECKING:
    from krakenonce.kraken.request import PrivateCall


def check_result(call: PrivateCall, result: Any) -> None:
    """Raise an error if a result does not say that the call was executed.

    Args:
        call: The call.
        result: Its result.

    Raises:
        OutcomeUnknown: An order has neither an id nor an error. Kraken's SDK says that each order that is placed has
            an id.
        KrakenAPIError: EditOrder answers with the status ``Err``, see Kraken's API specification.
    """
    if METHODS[call.method].kind is not Kind.ORDER and call.method != "EditOrder":
        return
    with Reading(call.method):
        if kind_of(call.method, call.params) is Kind.ORDER:
            for line in result["orders"] if METHODS[call.method].batch else [result]:
                ids = line.get("txid") or [None]  # a list, or the text of a batch
                if not all(ids) and not line.get("error"):
                    raise OutcomeUnknown(
                        f"Kraken answered {call.method} without an id of the order. It may have been placed: ask "
                        "Kraken before you repeat it."
                    )
        elif call.method == "EditOrder" and str(result.get("status", "")).lower() == "err":
            raise error_from([str(result.get("error_message") or "the order was not edited")])
