"""What may go wrong with one request: the table of the faults, and the faults that are waiting for a request.

Kraken, and the network in front of it, lose requests and answers in ways that a bot cannot tell apart. Each
fault is one of those ways. docs/how-to/test-your-bot.md shows the same table.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from krakenonce.errors import ConfigError
from krakenonce.testing.documented import DOCUMENTED_PRIVATE, DOCUMENTED_PUBLIC

if TYPE_CHECKING:
    from collections.abc import Mapping


ANY = "any"  # in place of a method
_METHODS = [ANY, *DOCUMENTED_PRIVATE, *DOCUMENTED_PUBLIC]

FaultName = Literal[
    "drop",
    "process_then_cut",
    "html",
    "process_then_html",
    "error",
    "process_then_error",
    "slow_answer",
    "slow_request",
    "duplicate",
    "hidden",
    "hold_back",
]


class Course(NamedTuple):
    """What a fault does to a request.

    Args:
        before: What the request does before it is executed.
        executed: How often it is executed.
        answer: What the sender gets.
        needs: The detail without which the fault cannot be added, if there is one.
    """

    before: Literal["", "waits", "waits for the next request"] = ""
    executed: Literal[0, 1, 2] = 1
    answer: Literal["a cut connection", "an HTML page", "an error", "its answer", "its answer, late"] = "its answer"
    needs: Literal["", "seconds", "hidden_for"] = ""


FAULTS: dict[FaultName, Course] = {
    "drop": Course("", 0, "a cut connection"),
    "process_then_cut": Course("", 1, "a cut connection"),
    "html": Course("", 0, "an HTML page"),
    "process_then_html": Course("", 1, "an HTML page"),
    "error": Course("", 0, "an error"),
    "process_then_error": Course("", 1, "an error"),
    "slow_answer": Course("", 1, "its answer, late", needs="seconds"),
    "slow_request": Course("waits", 1, "its answer", needs="seconds"),
    "duplicate": Course("", 2, "its answer"),
    "hidden": Course("", 1, "its answer", needs="hidden_for"),
    "hold_back": Course("waits for the next request", 1, "its answer"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault that the next ``times`` requests of a method get.

    Args:
        method: Such as ``AddOrder``; ``any`` for any method, also a public one.
        fault: Its name in the table ``FAULTS``.
        times: How many requests get it.
        seconds: How long ``slow_answer`` and ``slow_request`` take, and how long ``hold_back`` waits at most.
        status: The HTTP status of ``html`` and ``process_then_html``.
        error: The error string of ``error`` and ``process_then_error``.
        answer: Which answer the sender of a ``duplicate`` gets: the ``second`` or the ``first``.
        hidden_for: Seconds for which an order placed by the request is in no list and found by no query.
    """

    method: str
    fault: FaultName
    times: int = 1
    seconds: float = 0.0
    status: int = 502
    error: str = "EService:Unavailable"
    answer: Literal["first", "second"] = "second"
    hidden_for: float = 0.0

    def __post_init__(self) -> None:
        needed = FAULTS[self.fault].needs if self.fault in get_args(FaultName) else ""
        rules = {
            f"fault must be one of: {', '.join(FAULTS)}": self.fault in get_args(FaultName),
            "method must be one of Kraken's, such as AddOrder, or any": self.method in _METHODS,
            "times must be an integer above 0": type(self.times) is int and self.times > 0,
            "seconds must be a number, 0 or more": _is_duration(self.seconds),
            "hidden_for must be a number, 0 or more": _is_duration(self.hidden_for),
            f"{self.fault} needs {needed} above 0": not needed or bool(getattr(self, needed)),
            "status must be an integer from 200 to 599": type(self.status) is int and 200 <= self.status <= 599,
            "error must be a text that is not empty": type(self.error) is str and self.error != "",
            "answer must be first or second": self.answer in ("first", "second"),
        }
        for rule, is_met in rules.items():
            if not is_met:
                raise ConfigError(f"This fault cannot be used: {rule}.")


class Faults:
    """The faults still to come. A request gets the first one that was added for its method.

    Faults may be added while the server runs.
    """

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many requests will get a fault."""
        return sum(each.times for each in self.waiting())

    def add(self, method: str, fault: FaultName, **details: Any) -> None:
        """Add a fault for the next requests of a method.

        Args:
            method: Such as ``AddOrder``; ``any`` for any method.
            fault: One of the names in ``FAULTS``.
            **details: ``times``, ``seconds``, ``status``, ``error``, ``answer``, ``hidden_for``: see :class:`Fault`.

        Raises:
            ConfigError: There is no such fault or detail, or a value cannot be used.
        """
        self.add_from({"method": method, "fault": fault, **details})

    def add_from(self, described: Mapping[str, Any]) -> None:
        """Add a fault from a JSON object with the names of :class:`Fault`.

        Raises:
            ConfigError: As for ``add``.
        """
        try:
            fault = Fault(**described)
        except TypeError:  # a name that is missing, or one too many
            names = ", ".join(Fault.__dataclass_fields__)
            raise ConfigError(f"A fault has a method and a fault, and may have more of: {names}.") from None
        with self._lock:
            self._waiting.append(fault)

    def take(self, method: str) -> Fault | None:
        """Return the fault that a request of *method* gets, or ``None``; its ``times`` counts down."""
        if not self._waiting:
            return None
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if fault.method in (ANY, method):
                    if fault.times > 1:
                        self._waiting[place] = replace(fault, times=fault.times - 1)
                    else:
                        del self._waiting[place]
                    return fault
        return None

    def waiting(self) -> list[Fault]:
        """Return the faults still to come."""
        with self._lock:
            return list(self._waiting)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._waiting.clear()


def _is_duration(value: float) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e6
