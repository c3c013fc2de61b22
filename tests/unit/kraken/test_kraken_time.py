"""What Kraken's ``Date`` headers say about the time, with clocks that the test sets."""

from __future__ import annotations

import logging
import re
import time
from email.utils import formatdate

import pytest

from krakenonce.kraken.kraken_time import KrakenTime

NOW = 1_700_000_000.0


class Clocks:
    """This machine's two clocks, and Kraken's answers."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.steady = 100.0
        self.ahead = ahead  # this machine's clock less the right time
        self.time = KrakenTime(lambda: self.right + self.ahead, lambda: self.steady)

    @property
    def right(self) -> float:
        """The right time, which is Kraken's."""
        return NOW + 0.3 + self.steady

    def answer(self, took: float = 0.2) -> None:
        """An answer of Kraken's comes, *took* seconds after the request; it was written in the middle."""
        asked = self.steady
        self.steady += took / 2
        date = formatdate(int(self.right), usegmt=True)
        self.steady += took / 2
        self.time.note(date, asked)


def test_before_the_first_answer_it_is_this_machine_s_time() -> None:
    """And that is said."""
    clocks = Clocks(ahead=9.0)
    assert (clocks.time.known, clocks.time.now(), clocks.time.latest()) == (False, clocks.right + 9, clocks.right + 9)
    assert (clocks.time.header(), clocks.time.described()) == ({}, "Kraken's time is not known")


def test_a_clock_that_may_be_right_is_used_as_it_is() -> None:
    """Whole seconds do not say more than that it is right within a second or so."""
    for ahead in (-0.3, 0.0, 0.3):
        clocks = Clocks(ahead)
        clocks.answer()
        assert clocks.time.now() == pytest.approx(clocks.right + ahead)
    assert clocks.time.described() == "this machine's clock agrees with Kraken's"


@pytest.mark.parametrize(("ahead", "word"), [(-8.0, "behind"), (50.0, "ahead of"), (-1e6, "behind")])
def test_a_clock_that_is_wrong_is_corrected_and_reported_once(
    ahead: float, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """To within the time that the answer took, and a second."""
    clocks = Clocks(ahead)
    with caplog.at_level(logging.WARNING, "krakenonce"):
        for _ in range(3):
            clocks.answer()
            clocks.steady += 1.7
    assert abs(clocks.time.now() - clocks.right) <= 1.1
    assert clocks.right <= clocks.time.latest() <= clocks.right + 1.1
    said = re.fullmatch(rf"this machine's clock is (\d+) s {word} Kraken's", clocks.time.described())
    assert said
    assert abs(int(said[1]) - abs(ahead)) <= 1
    assert len(caplog.messages) == 1


def test_many_answers_tell_more_than_one() -> None:
    """Each leaves some seconds out; what all allow is closer than a second."""
    clocks = Clocks(ahead=-20.0)
    for _ in range(40):
        clocks.answer(took=0.02)
        clocks.steady += 0.37
    assert abs(clocks.time.now() - clocks.right) <= 0.2


def test_a_step_of_this_machine_s_clock_changes_nothing() -> None:
    """Kraken's time goes on with the time since boot."""
    clocks = Clocks(ahead=-8.0)
    clocks.answer()
    before = clocks.time.now()
    clocks.ahead += 3600
    assert clocks.time.now() - before <= 1.3
    assert abs(clocks.time.now() - clocks.right) <= 1.3


def test_the_newest_answer_counts_if_older_ones_contradict_it() -> None:
    """A virtual machine that was stopped may have counted nothing meanwhile."""
    clocks = Clocks()
    clocks.answer()
    clocks.time.note(formatdate(NOW + 5000, usegmt=True), clocks.steady)
    assert clocks.time.now() == pytest.approx(NOW + 5000, abs=1.1)


def test_a_header_that_is_no_date_changes_nothing() -> None:
    """Nor does one that is missing."""
    clocks = Clocks()
    for date in ("", "yesterday", "Mon, 99 Nov 2026 99:00:00 GMT", "0", f"Mon, 06 Nov {'9' * 20} 10:00:00 GMT"):
        clocks.time.note(date, clocks.steady)
    assert not clocks.time.known


@pytest.mark.parametrize("seconds", [0, 1_500_000_000, 7_258_118_400, 253_402_300_799, 10**30])
def test_a_time_before_2020_or_after_2200_changes_nothing(seconds: int) -> None:
    """Whoever has written it, an order's deadline is not counted from it."""
    clocks = Clocks()
    clocks.time.note_seconds(seconds, clocks.steady)
    assert not clocks.time.known


def test_a_date_without_a_zone_is_in_gmt(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all dates of HTTP are, wherever this machine is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    clocks = Clocks()
    clocks.time.note(formatdate(NOW, usegmt=True).removesuffix(" GMT"), clocks.steady)
    monkeypatch.undo()
    time.tzset()
    assert clocks.time.latest() == pytest.approx(NOW + 1)
