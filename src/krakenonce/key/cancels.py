"""Which orders were cancelled while they waited to be sent. No lock, no clock.

A cancel does not wait behind orders, and an order may wait for its turn or the rate limit in any process. So each
cancel is noted when it is sent: CancelAll with that time; a cancel that names a ``cl_ord_id`` or a ``userref``, with
these and the time at which it began to wait. An order is not sent if it began to wait before that. An order that began
later is another one, even if it has the same name.

What is before what is exact among the processes of one host. Between hosts it is as exact as the state's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import CancelledBeforeSent
from krakenonce.key.limits import stable_hash
from krakenonce.key.limits_state import NAMES, Moment
from krakenonce.key.methods import EVERY, names_of_orders, orders_in, places_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from krakenonce.key.limits_state import State


_LATER = 1.0  # seconds; hosts do not disagree by more about a state's time. What is further ahead is damage


def note_cancel(state: State, names: Iterable[str], waited: float, now: float) -> None:
    """Note a cancel that is sent now.

    Args:
        state: The state.
        names: What it cancels, see :func:`krakenonce.key.methods.cancelled_in`.
        waited: Seconds since it began to wait.
        now: The state's time.
    """
    all_at, latest, count = state.cancels()
    began = _moment(state, waited, now + state.late)  # in doubt an order is not sent
    for name in names:
        if name == EVERY:
            all_at = _moment(state, 0.0, now)
        else:
            state.keep_cancelled(count, stable_hash(name), began)
            count = (count + 1) % NAMES
            latest = max(began.at, latest) if _is_possible(latest, now) else began.at
    state.keep_cancels(all_at, latest, count)


def why_not(state: State, method: str, params: Mapping[str, Any], waited: float, now: float) -> str:
    """Return why an order must not be sent any more; empty: it may be sent, or the call places no order.

    Args:
        state: The state.
        method: Kraken's name of the method.
        params: Its parameters.
        waited: Seconds since it began to wait.
        now: The state's time.
    """
    if not places_orders(method, params):
        return ""
    began = _moment(state, waited, now)
    all_at, latest, _ = state.cancels()
    if _is_possible(all_at.at, now) and began.is_before(all_at):
        return "it was cancelled before it was sent (CancelAll)"
    names = names_of_orders(method, params) if began.at < latest + _LATER else []
    table = state.cancelled() if any(names) else []
    cancelled = {name for name, at in table if _is_possible(at.at, now) and began.is_before(at)}
    for number, its in enumerate(names, 1):
        if any(stable_hash(name) in cancelled for name in its):
            which = f"order {number} of {len(names)}" if len(orders_in(method, params)) > 1 else "it"
            return f"{which} was cancelled before it was sent (CancelOrder)"
    return ""


def refuse_if_cancelled(why: str) -> None:
    """Raise CancelledBeforeSent if there is a reason."""
    if why:
        raise CancelledBeforeSent(f"Not sent: {why}.")


def _moment(state: State, waited: float, now: float) -> Moment:
    return Moment(now - waited, state.here.clock, state.here.boot - waited)


def _is_possible(time: float, now: float) -> bool:
    return 0.0 < time <= now + _LATER
