"""The campaign of clocks, for a moment; and that it notices nonces that trust the clock."""

from pathlib import Path

import pytest

from krakenonce.manager import NonceManager
from prove.campaign import Broken, Trial
from prove.clocks import Lasting, run
from prove.wrong_clock import require_libfaketime
from tests.campaigns.makers import ClockAlone, CrashingSoon, TrustingClock

pytest.importorskip("libfaketime", reason="libfaketime comes with the dev packages, on Linux")


def test_no_clock_breaks_the_order(tmp_path: Path) -> None:
    """Four clocks that step and strobe, for a moment."""
    figures = run(Trial(tmp_path, 1, 1.0))
    assert min(figures.values()) > 0


@pytest.mark.parametrize(
    ("maker", "complaint"), [(ClockAlone, "nonces are wrong"), (TrustingClock, "ahead of the clock; 70 s are allowed")]
)
def test_nonces_that_trust_the_clock_are_found(tmp_path: Path, maker: type[NonceManager], complaint: str) -> None:
    """The clock as it is; and rising nonces, but raised to any clock."""
    with pytest.raises(Broken, match=complaint):
        run(Trial(tmp_path, 1, 1.0), maker)


def test_a_process_that_crashes_is_found(tmp_path: Path) -> None:
    """Each is a fork, and only the process that waits for its end can see how it ended."""
    with pytest.raises(Broken, match="a forked child has crashed: SIGSEGV"):
        run(Trial(tmp_path, 1, 1.0), CrashingSoon)


def test_a_clock_that_stays_ahead_and_is_trusted_too_early_is_found(tmp_path: Path) -> None:
    """It has to last a minute; this manager trusts each step."""
    require_libfaketime(tmp_path)
    with Lasting(Trial(tmp_path, 1, 0), TrustingClock) as lasting:
        lasting.until_it_has_gone_on()
        with pytest.raises(Broken, match=r"trusted after \d\.\d s"):
            lasting.trusted_after()
