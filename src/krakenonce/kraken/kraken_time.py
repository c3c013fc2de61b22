"""Kraken's time, as the ``Date`` headers of its answers tell it: this machine's clock may be wrong."""

from __future__ import annotations

import logging
import math
import threading
import time
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from krakenonce.clock import SystemClock
from krakenonce.process import call_in_children, check_process
from krakenonce.rule import EARLIEST, LATEST, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger("krakenonce")

_WRONG = 2.0  # seconds by which this machine's clock is wrong enough for a warning


class KrakenTime:
    """What time it is at Kraken. One object for all connections to one address; safe for threads.

    Kraken's time is counted from the time since boot, so a step of this machine's clock does not change it.

    Args:
        wall: This machine's clock, in seconds since 1970.
        steady: A clock that never steps, in seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: SystemClock.boot_ns() / 1e9,
    ) -> None:
        self.local = wall
        self.steady = steady
        self._asking = threading.Lock()
        self._ahead: tuple[float, float] | None = None  # Kraken's time less the steady clock: at least, at most
        self._date = ""  # the last one that was read; most answers have the same one
        self._warned = False
        call_in_children(self)

    @property
    def asking(self) -> threading.Lock:
        """Held by the one caller of this process that asks for the time."""
        check_process()
        return self._asking

    def _after_fork(self) -> None:
        self._asking = threading.Lock()  # the thread that asked is not in the child

    @property
    def known(self) -> bool:
        """Whether an answer of Kraken's has told the time."""
        return self._ahead is not None

    def now(self) -> float:
        """Return Kraken's time in seconds since 1970: this machine's, corrected as far as it is known to be wrong."""
        steady = self.steady()
        return steady + self._nearest(self.local() - steady)

    def latest(self) -> float:
        """Return the latest that Kraken's time may be now."""
        return self.now() if self._ahead is None else self.steady() + self._ahead[1]

    def earliest(self) -> float:
        """Return the earliest that Kraken's time may be now; 0.0 if it is not known."""
        return 0.0 if self._ahead is None else self.steady() + self._ahead[0]

    def note(self, date: str, asked: float) -> None:
        """Note the ``Date`` header of an answer, which tells whole seconds. One that is no date changes nothing.

        Args:
            date: The header.
            asked: When the request was sent, on the steady clock.
        """
        if date == self._date:
            return
        self._date = date
        self.note_seconds(seconds_of(date), asked)

    def note_seconds(self, told: float, asked: float) -> None:
        """Note a time in whole seconds since 1970 that an answer has told; *asked* as for :meth:`note`.

        One before 2020 or after 2200 changes nothing, whoever has written it.
        """
        if not EARLIEST <= told * SECOND < LATEST:
            return
        steady = self.steady()
        least, most = told - steady, told + 1.0 - asked
        if self._ahead is not None and max(self._ahead[0], least) <= min(self._ahead[1], most):
            least, most = max(self._ahead[0], least), min(self._ahead[1], most)
        self._ahead = least, most
        self._warn(self.local() - steady)

    def header(self) -> dict[str, str]:
        """Return the ``Date`` header with Kraken's time; none if it is not known."""
        return {"Date": formatdate(self.now(), usegmt=True)} if self.known else {}

    def described(self) -> str:
        """Return, in words, how this machine's clock differs from Kraken's."""
        if self._ahead is None:
            return "Kraken's time is not known"
        wrong = self.local() - self.now()
        if abs(wrong) < _WRONG:
            return "this machine's clock agrees with Kraken's"
        return f"this machine's clock is {abs(wrong):.0f} s {'ahead of' if wrong > 0 else 'behind'} Kraken's"

    def _nearest(self, ahead: float) -> float:
        return ahead if self._ahead is None else min(max(ahead, self._ahead[0]), self._ahead[1])

    def _warn(self, ahead: float) -> None:
        is_wrong = abs(ahead - self._nearest(ahead)) >= _WRONG
        if is_wrong and not self._warned:
            logger.warning("%s; what is sent has Kraken's time; set this machine's clock", self.described())
        self._warned = is_wrong


def seconds_of(date: str) -> float:
    """Return an HTTP date as seconds since 1970; NaN if it is none."""
    try:
        read = parsedate_to_datetime(date)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def kraken_time(address: str) -> KrakenTime:
    """Return the time at an address, which all clients of this process share."""
    return _times.get(address) or _times.setdefault(address, KrakenTime())


_times: dict[str, KrakenTime] = {}
