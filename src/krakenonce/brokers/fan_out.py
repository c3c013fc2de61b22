"""One call for many accounts: what may still be sent, and the outcome of each account's call and order. No I/O."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar

from krakenonce.checks import check_number, check_seconds
from krakenonce.errors import CallTimeout, KrakenonceError, OutcomeUnknown
from krakenonce.kraken.request import PrivateCall
from krakenonce.kraken.sent import SentOrder, prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.kraken.sent import Reconciled


logger = logging.getLogger("krakenonce")

P = ParamSpec("P")  # the arguments of a procedure
R = TypeVar("R")  # the result of one account's call
T = TypeVar("T")  # what the caller gets for all

GRACE = 1.0  # seconds after the time limit in which answers may still come
OVER = "The time limit passed"
INTERRUPTED = "Interrupted"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """The outcome of one account's call.

    Args:
        account: The account's name.
        result: The result, if there is one.
        error: Why there is none.
    """

    account: str
    result: R | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None

    @property
    def may_have_executed(self) -> str:
        """``"yes"``, ``"no"`` or ``"unknown"``, after the error; ``"unknown"`` for an error that does not say it."""
        return "yes" if self.error is None else getattr(self.error, "may_have_executed", "unknown")

    def get(self) -> R:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value] # None is a result where R has it


OnOutcome: TypeAlias = "Callable[[Outcome[Any]], object] | None"


class Call(NamedTuple):
    """One account's call.

    Args:
        method: Kraken's name of a private method; empty: ask Kraken what became of *order*.
        params: Its parameters.
        order: The :class:`SentOrder` that it places or asks for, if there is one.
    """

    method: str
    params: Mapping[str, Any]
    order: Any = None

    @classmethod
    def of(cls, method: str, params: Mapping[str, Any]) -> Call:
        """Return a call. An order gets its ``cl_ord_id`` now, so that it can be looked for if no answer comes."""
        if method != "AddOrder":
            return cls(method, params)
        name = prepared(method, params).params.get("cl_ord_id")
        fields = {**params, "cl_ord_id": name} if name else params
        return cls(method, fields, SentOrder.of(PrivateCall(method, fields)))


def _as_it_is(it: Any) -> Any:
    return it


class FanOut(Generic[R, T]):
    """The calls of many accounts.

    Args:
        names: The accounts.
        ask: Returns an account's call, when it is about to be made.
        within: Seconds that all calls may take; None: as long as each call may. Below 0: nothing is sent.
        on_outcome: Called with each outcome as it comes. An error in it is logged, so that no outcome is lost.
        read: Makes the result of Kraken's answer.
        result: Makes of all outcomes what the caller gets.

    Raises:
        ConfigError: *within* is not a number of seconds.
    """

    def __init__(
        self,
        names: Iterable[str],
        ask: Callable[[str], Call],
        within: float | None,
        on_outcome: OnOutcome,
        *,
        read: Callable[[Any], R] = _as_it_is,
        result: Callable[[dict[str, Outcome[R]]], T] = _as_it_is,
    ) -> None:
        if within is not None:
            check_seconds("within", max(check_number("within", within), 0), zero=True)
        self.names = list(names)
        self.outcomes: dict[str, Outcome[R]] = {}
        self.read = read
        self._ask = ask
        self._result = result
        self._until = None if within is None else time.monotonic() + within
        self._on_outcome = on_outcome
        self._begun: dict[str, Call | None] = {}  # None: it must not be begun any more

    def left(self, grace: float = 0.0) -> float | None:
        """Return the seconds until *grace* seconds after the time limit; None: there is no limit."""
        return None if self._until is None else self._until + grace - time.monotonic()

    def begin(self, name: str) -> tuple[Call, float | None]:
        """Return the call to make for an account now, and the seconds that it may take.

        Raises:
            CallTimeout: The time limit has passed, or the caller does not wait any more; it must not be sent.
            ConfigError: This account's call cannot be sent.
        """
        left = self.left()
        call = None if left is not None and left <= 0 else self._ask(name)
        if call is None or self._begun.setdefault(name, call) is not call:
            raise not_sent()
        return call, left

    def give_up(self, name: str, why: str = OVER) -> Outcome[R]:
        """Return the outcome of a call whose answer is not waited for; if it was not begun, it never will be."""
        call = self._begun.setdefault(name, None)
        return Outcome(name, error=not_sent(why) if call is None else late(call.order, why))

    def note(self, outcome: Outcome[R]) -> None:
        """Call *on_outcome* and keep the outcome."""
        if self._on_outcome is not None:
            try:
                self._on_outcome(outcome)
            except Exception:
                logger.exception("on_outcome raised an error for account %s", outcome.account)
        self.outcomes[outcome.account] = outcome  # last: an interrupt before it loses no outcome

    def end(self, came: Mapping[str, Outcome[R]], why: str = OVER) -> None:
        """Note the outcome of all calls that have none yet.

        Args:
            came: Outcomes that have come but were not noted.
            why: Why the others are not waited for.
        """
        for name in self.names:
            if name not in self.outcomes:
                self.note(came.get(name) or self.give_up(name, why))

    def result(self) -> T:
        """Return what the caller gets, in the order of the accounts."""
        return self._result({name: self.outcomes[name] for name in self.names})


class Verdict(NamedTuple):
    """What became of one account's order.

    Args:
        state: ``"placed"``; ``"valid"``: Kraken has only checked it; ``"not placed"``: it cannot be placed any more,
            either; ``"unknown"``: it may have been placed, so look for it before you send it again.
        details: Kraken's description of the order, or the reason; with an unknown outcome the ids to look for, too.
        txids: Kraken's ids of the order, if it was placed.
    """

    state: Literal["placed", "valid", "not placed", "unknown"]
    details: str
    txids: tuple[str, ...] = ()


def not_sent(why: str = OVER) -> CallTimeout:
    """Return the error of a call that was not sent in time."""
    return CallTimeout(f"{why} before this call was sent. Nothing was sent.")


def late(order: SentOrder | None = None, why: str = OVER) -> OutcomeUnknown:
    """Return the error of a call that was not answered in time, and may have placed *order*."""
    ids = ", ".join(order.cl_ord_ids) if order else ""
    todo = f"ask Kraken for cl_ord_id {ids}" if ids else "ask Kraken before you repeat it"
    error = OutcomeUnknown(f"{why} before this call was answered. It may have been executed: {todo}.")
    error.order = order
    return error


def order_to_find(outcome: Outcome[Any]) -> SentOrder | None:
    """Return the order with an unknown outcome that Kraken can be asked about; None: that would not help.

    It does not help while the order may still be sent, as it may after :func:`late`.
    """
    order = getattr(outcome.error, "order", None)
    known = outcome.may_have_executed != "unknown"
    return order if isinstance(order, SentOrder) and order.sent_at and not known else None


def verdicts(
    outcomes: Mapping[str, Outcome[Any]], found: Mapping[str, Outcome[Reconciled]] | None = None
) -> dict[str, Verdict]:
    """Return what became of each order of AddOrder.

    Args:
        outcomes: The outcomes of the calls, by account.
        found: Kraken's answers, for the orders that it was asked about.
    """
    return {name: _verdict(outcome, (found or {}).get(name)) for name, outcome in outcomes.items()}


def _verdict(outcome: Outcome[Any], asked: Outcome[Reconciled] | None) -> Verdict:
    if outcome.error is None:
        result = outcome.get()
        words, txids = result["descr"]["order"], tuple(result.get("txid") or ())
        return Verdict("placed", f"{', '.join(txids)} {words}", txids) if txids else Verdict("valid", words)
    why = reason(outcome.error)
    if outcome.may_have_executed == "no":
        return Verdict("not placed", why)
    if asked and asked.error:
        why = "there was no time to ask Kraken" if isinstance(asked.error, CallTimeout) else reason(asked.error)
    elif asked and (found := asked.get()).placed is not None:
        txids = tuple(found.orders)
        not_placed = Verdict("not placed", "the order did not reach Kraken")
        return Verdict("placed", ", ".join(txids), txids) if found.placed else not_placed
    order: SentOrder | None = getattr(outcome.error, "order", None)
    missing = [each for each in (order.cl_ord_ids if order else ()) if each not in why]
    return Verdict("unknown", f"{why} (cl_ord_id {', '.join(missing)})" if missing else why)


def reason(error: BaseException) -> str:
    """Return the text of an error; if it is not one of ours, only its type, because its text may contain a secret."""
    return str(error) if isinstance(error, KrakenonceError) else f"unexpected {type(error).__name__}"
