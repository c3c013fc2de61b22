"""The campaign of stops, for a moment; and that it notices broken turns and nonces."""

from pathlib import Path

import pytest

from krakenonce.manager import NonceManager
from prove.campaign import Broken, Trial
from prove.stops import run
from tests.campaigns.makers import CrashingForks, Forgetful, OwnLanes


def test_no_stop_fork_or_exit_breaks_order_or_turns(tmp_path: Path) -> None:
    """All of it happens within a moment, and nonces and turns hold."""
    figures = run(Trial(tmp_path, 1, 1.5))
    assert min(figures.values()) > 0


@pytest.mark.parametrize(("maker", "complaint"), [(OwnLanes, "came"), (Forgetful, "nonces are wrong")])
def test_broken_turns_and_nonces_are_found(tmp_path: Path, maker: type[NonceManager], complaint: str) -> None:
    """Lanes that each process has for itself, and a counter that each process has for itself."""
    with pytest.raises(Broken, match=complaint):
        run(Trial(tmp_path, 1, 0.1), maker)


def test_a_forked_child_that_crashes_is_found(tmp_path: Path) -> None:
    """It has reported nothing, and only the process that waits for its end can see how it ended."""
    with pytest.raises(Broken, match="a forked child has crashed: SIGSEGV"):
        run(Trial(tmp_path, 1, 1.5), CrashingForks)
