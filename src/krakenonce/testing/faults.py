"""What may go wrong with a request, as pure descriptions: the server carries them out.

Kraken, and the network in front of it, lose requests and answers in ways that a bot cannot tell apart. Each
fault here is one of those ways, for one request.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY", "Fault", "FaultName", "Faults"]

ANY = "any"  # instead of a method: whatever is called next

FaultName = Literal[
    "drop",
    "process_then_cut",
    "process_then_html",
    "html",
    "process_then_error",
    "error",
    "slow_answer",
    "slow_request",
    "duplicate",
    "hidden",
    "hold_back",
]

_UNPROCESSED = ("drop", "html", "error")
_NEEDS_SECONDS = ("slow_answer", "slow_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, for the next ``times`` requests that match.

    Args:
        method: Such as ``AddOrder``; ``any`` for whatever is called next, public methods included.
        fault: Its name; see :class:`Faults`.
        times: For how many requests.
        seconds: How long ``slow_answer`` and ``slow_request`` take, and how long ``hold_back`` waits at most.
        status: The HTTP status of ``html`` and ``process_then_html``.
        error: The error string of ``error`` and ``process_then_error``.
        answer: Which answer of a ``duplicate`` the sender gets: the ``second`` or the ``first``.
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
        rules = {
            f"fault is one of: {', '.join(get_args(FaultName))}": self.fault in get_args(FaultName),
            "method is a name such as AddOrder, or any": _is_text(self.method),
            "times is a whole number above 0": _is_whole(self.times) and self.times > 0,
            "seconds is a number, 0 or more": _is_duration(self.seconds),
            f"{self.fault} needs seconds above 0": self.fault not in _NEEDS_SECONDS or bool(self.seconds),
            "hidden_for is a number, 0 or more": _is_duration(self.hidden_for),
            "hidden needs hidden_for above 0": self.fault != "hidden" or bool(self.hidden_for),
            "status is a whole number from 200 to 599": _is_whole(self.status) and 200 <= self.status <= 599,
            "error is a text": _is_text(self.error),
            "answer is first or second": self.answer in ("first", "second"),
        }
        for rule, is_kept in rules.items():
            if not is_kept:
                raise ConfigError(f"This fault cannot be used: {rule}.")

    @property
    def deliveries(self) -> int:
        """How often the request is processed."""
        if self.fault in _UNPROCESSED:
            return 0
        return 2 if self.fault == "duplicate" else 1

    def matches(self, method: str) -> bool:
        """Return whether a call of *method* meets this fault."""
        return self.method in (ANY, method)


class Faults:
    """The faults still to come, in the order added; each request meets the first one that matches its method.

    They may be added while the server runs. The names:

    - ``drop``: the connection is cut, nothing was executed.
    - ``process_then_cut``: executed, then the connection is cut.
    - ``process_then_html``: executed, then answered with HTML and ``status`` (502, 504, 520).
    - ``html``: the same answer, and nothing was executed.
    - ``process_then_error``: executed, then answered with ``error``.
    - ``error``: the same answer, and nothing was executed; no number is used up.
    - ``slow_answer``: executed at once, answered after ``seconds``.
    - ``slow_request``: executed only after ``seconds``, then answered.
    - ``duplicate``: the same bytes are executed twice; the sender gets the second answer, or the first.
    - ``hidden``: an order placed is visible only after ``hidden_for`` seconds. All faults that execute the
      request take ``hidden_for`` as well.
    - ``hold_back``: executed only after the next request that arrives, or after ``seconds`` (10 if not given).
    """

    def __init__(self) -> None:
        self._waiting: deque[Fault] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many requests are still to meet a fault."""
        return sum(each.times for each in self.waiting())

    def add(self, method: str, fault: FaultName, **details: Any) -> None:
        """Have the next matching request meet a fault.

        Args:
            method: Such as ``AddOrder``; ``any`` for whatever is called next.
            fault: One of the names above.
            **details: ``times``, ``seconds``, ``status``, ``error``, ``answer``, ``hidden_for``: see :class:`Fault`.

        Raises:
            ConfigError: There is no such fault or detail, or a value cannot be used.
        """
        self.add_from({"method": method, "fault": fault, **details})

    def add_from(self, described: Mapping[str, Any]) -> None:
        """Add a fault described as JSON does it: one object with the names of :class:`Fault`.

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
        """Return what goes wrong with this call of *method*, ``None`` for nothing; counts as met."""
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if fault.matches(method):
                    if fault.times > 1:
                        self._waiting[place] = replace(fault, times=fault.times - 1)
                    else:
                        del self._waiting[place]
                    return fault
        return None

    def waiting(self) -> list[Fault]:
        """Return the faults that are still to come."""
        with self._lock:
            return list(self._waiting)

    def described(self) -> list[dict[str, Any]]:
        """Return the faults still to come as JSON has them."""
        return [asdict(fault) for fault in self.waiting()]

    def clear(self) -> None:
        """Forget the faults still to come."""
        with self._lock:
            self._waiting.clear()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
